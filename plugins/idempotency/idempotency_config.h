#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "idempotency/seen_keys.h"
#include "plugins/sdk.hpp"

namespace sluice::idempotency {

/// Something of the request that says whose key it is.
struct ScopePart {
  enum class Kind : char { subject = 's', shared = 'b', header = 'h', client = 'c', host = 'o' };
  Kind kind;
  std::string name;  // of what another plugin shared, or of the header
};

struct Config {
  explicit Config(Setup& setup);

  [[nodiscard]] bool covers(std::string_view method) const;
  [[nodiscard]] bool keeps(std::string_view header) const;

  std::string header = "Idempotency-Key";
  std::vector<std::string> methods{"POST", "PATCH"};
  bool required = false;
  std::vector<ScopePart> scope{{ScopePart::Kind::subject, ""}};
  std::vector<std::string> fingerprint;  // headers that a repetition must have the same
  std::chrono::milliseconds ttl = std::chrono::hours(24);
  std::chrono::milliseconds lease = std::chrono::seconds(30);
  std::chrono::milliseconds clock_skew = std::chrono::seconds(5);  // between gateways
  std::chrono::milliseconds wait{0};                               // for one in flight; 0: not at all
  bool retry_unknown = false;
  bool open_on_store_error = false;
  uint64_t max_body_bytes = 64 * 1024;
  std::vector<std::string> headers;  // of the result, that are kept
  std::string prefix;                // of keys in the store
  uint32_t store = SLUICE_NONE;
  std::shared_ptr<SeenKeys> seen;  // nullptr: no filter

  uint32_t first = SLUICE_NONE;  // counters
  uint32_t replayed = SLUICE_NONE;
  uint32_t in_flight = SLUICE_NONE;
  uint32_t mismatched = SLUICE_NONE;
  uint32_t missing = SLUICE_NONE;
  uint32_t invalid = SLUICE_NONE;
  uint32_t unknown = SLUICE_NONE;
  uint32_t outcome_lost = SLUICE_NONE;
  uint32_t too_large = SLUICE_NONE;
  uint32_t released = SLUICE_NONE;
  uint32_t renewed = SLUICE_NONE;
  uint32_t taken_over = SLUICE_NONE;
  uint32_t store_errors = SLUICE_NONE;
  uint32_t unprotected = SLUICE_NONE;
  uint32_t lost = SLUICE_NONE;
  uint32_t not_stored = SLUICE_NONE;

 private:
  void read_request(const Setup& setup);
  void read_scope(const Node& node);
  void read_times(const Setup& setup);
  void read_result(const Setup& setup);
  void read_filter(const Setup& setup);
  void add_counters(const Setup& setup);
};

}  // namespace sluice::idempotency
