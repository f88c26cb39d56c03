// What the fuzz targets for request and response heads share: scanning one input in every way that matters.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "check.h"
#include "http/head_scanner.h"
#include "http/parser.h"
#include "http/serializer.h"

namespace sluice::fuzz {

// Small, so that inputs of a few hundred bytes meet them.
inline constexpr http::HeadLimits kLimits{.first_line_bytes = 200, .head_bytes = 1000, .fields = 30};

/// The result of scanning `bytes` at once; checks that cutting them anywhere, or byte by byte, gives the
/// same.
inline Result<size_t> scan_all_ways(std::string_view bytes, http::HeadScanner& scanner) {
  const Result<size_t> whole = scanner.scan(bytes, kLimits);
  http::HeadScanner slow;
  bool ended = false;
  for (size_t size = 0; size <= bytes.size() && !ended; ++size) {
    const std::string so_far(bytes.substr(0, size));  // memory of its own: a byte too many is noticed
    const Result<size_t> step = slow.scan(so_far, kLimits);
    ended = !step || *step > 0;
    if (!ended && size < bytes.size()) continue;
    FUZZ_CHECK(step.has_value() == whole.has_value());
    FUZZ_CHECK(step ? *step == *whole : step.error().reason == whole.error().reason);
    FUZZ_CHECK(slow.fields() == scanner.fields() || !whole);
  }
  return whole;
}

inline bool is_within(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

/// What the parser promises of every field that it lets through.
inline void check_fields(const http::HeaderMap& headers, std::string_view head, uint32_t announced) {
  FUZZ_CHECK(headers.size() == announced);
  for (const http::HeaderField& field : headers) {
    FUZZ_CHECK(http::is_token(field.name));
    FUZZ_CHECK(http::is_field_value(field.value));
    FUZZ_CHECK(is_within(field.name, head) && is_within(field.value, head));
    FUZZ_CHECK(field.id == http::header_id(field.name));
    FUZZ_CHECK(headers.has(field.id));
  }
  for (unsigned id = 0; id < static_cast<unsigned>(http::HeaderId::other); ++id) {
    const auto header = static_cast<http::HeaderId>(id);
    FUZZ_CHECK((headers.count(header) > 1) == headers.repeated(header));
  }
}

inline void check_same(const http::HeaderMap& a, const http::HeaderMap& b) {
  FUZZ_CHECK(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const http::HeaderField& left = a.fields()[i];
    const http::HeaderField& right = b.fields()[i];
    FUZZ_CHECK(left.name == right.name && left.value == right.value && left.id == right.id);
    FUZZ_CHECK(a.repeated(left.id) == b.repeated(left.id));
  }
}

/// A head as we would send it on.
template <typename FirstLine>
std::string written(FirstLine&& first_line, const http::HeaderMap& headers) {
  size_t most = 1024;  // for the first line
  for (const http::HeaderField& field : headers) most += field.name.size() + field.value.size() + 4;
  std::string memory(most, '\0');
  http::HeadWriter writer(memory);
  first_line(writer);
  for (const http::HeaderField& field : headers) writer.field(field.name, field.value);
  writer.end();
  FUZZ_CHECK(!writer.overflowed());
  memory.resize(writer.size());
  return memory;
}

inline std::string write_head(const http::RequestHead& head) {
  return written([&](http::HeadWriter& out) { out.request_line(head.method_text, head.target, {}, false); },
                 head.headers);
}

inline std::string write_head(const http::ResponseHead& head) {
  return written([&](http::HeadWriter& out) { out.status_line(head.status, head.phrase); }, head.headers);
}

/// What a target of heads does with its input. `parse` is the parser of what the scanner delimits, and `read` what reads most
/// heads in one pass: it must come to the same, by `same` for a pair of heads and for a pair of reasons. `check` gets a head
/// that was accepted.
template <typename Head, typename Same, typename Check>
void check_head(std::string_view bytes, Result<Head> (&parse)(std::string_view, std::span<http::HeaderField>),
                Result<size_t> (&read)(std::string_view, const http::HeadLimits&, http::HeadScanner&,
                                       std::span<http::HeaderField>, Head&),
                Same&& same, Check&& check) {
  http::HeadScanner scanner;
  const Result<size_t> length = scan_all_ways(bytes, scanner);
  const std::string head(bytes.substr(0, length ? *length : 0));
  std::array<http::HeaderField, kLimits.fields> fields;
  const Result<Head> parsed = length ? parse(head, fields) : Result<Head>(length.error());

  http::HeadScanner fresh;
  std::array<http::HeaderField, kLimits.fields> fields_at_once;
  Head at_once;
  const Result<size_t> taken = read(bytes, kLimits, fresh, fields_at_once, at_once);
  if (length && *length == 0) {
    FUZZ_CHECK(taken && *taken == 0);
    return;
  }
  FUZZ_CHECK(taken.has_value() == parsed.has_value());
  if (!taken) {
    FUZZ_CHECK(same(taken.error().reason, parsed.error().reason));
    return;
  }
  FUZZ_CHECK(*taken == *length && same(at_once, *parsed) && at_once.version == parsed->version);
  check_same(at_once.headers, parsed->headers);
  check_fields(parsed->headers, head, scanner.fields());
  check(*parsed);
}

}  // namespace sluice::fuzz
