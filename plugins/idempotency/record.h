// What the store holds of a key, as bytes:
//
//   token 16 | state 1 | deadline 8 | version 1 | flags 1 | head 32 | body 32 | status 2 | length of the fields 4 | fields | body
//
// Integers are little-endian. Token, state and deadline stand first, since the store changes a value only if it begins with
// what the writer expects: who completes a claim expects its token; who renews it, its token and that it is still claimed; who
// takes it over, that it is as he has read it, deadline included.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/sha256.h"

namespace sluice::idempotency {

using Token = std::array<char, 16>;

enum class State : char {
  claimed = 'c',    // somebody carries it out, until `deadline`; past it, nobody knows
  unknown = 'u',    // it reached the upstream, and nobody knows what became of it
  done = 'd',       // status, fields and body are the result
  too_large = 'l',  // it was carried out; the result was not kept
};

struct Record {
  Token token{};
  State state = State::claimed;
  int64_t deadline_ms = 0;     // since the epoch
  Digest head{};               // of the request
  std::optional<Digest> body;  // likewise, if all of it came
  uint16_t status = 0;
  std::string_view fields;  // of the result, as append_field() writes them
  std::string_view content;
};

constexpr size_t kRecordBytes = 16 + 1 + 8 + 1 + 1 + 32 + 32 + 2 + 4;  // without fields and body
constexpr size_t kTokenBytes = 16;
constexpr size_t kTokenAndStateBytes = kTokenBytes + 1;
constexpr size_t kReadBytes = kTokenAndStateBytes + 8;

/// Writes the fixed part over the front of `out`, which has fields and body behind it already.
void write_front(const Record& record, std::string& out);
/// Views into `value`. Nothing if it is not one of these.
std::optional<Record> read_record(std::string_view value);

void append_field(std::string& out, std::string_view name, std::string_view value);
/// Takes one field off the front; false at the end, or if what is left is malformed.
bool take_field(std::string_view& fields, std::string_view& name, std::string_view& value);

}  // namespace sluice::idempotency
