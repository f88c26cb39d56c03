// Conditional and range requests (RFC 9110 §13, §14), apart from any file: pure functions of headers and
// validators.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/message.h"

namespace sluice::proxy {

/// What a file can be recognised by.
struct Validators {
  std::string_view etag;                 // strong, with its quotes
  std::optional<int64_t> last_modified;  // seconds since the epoch
};

enum class Condition : uint8_t { proceed, not_modified, failed };

/// In the order of §13.2.2, for GET and HEAD. Fields that are not valid are ignored.
Condition evaluate_conditions(const http::HeaderMap& headers, const Validators& current);

struct RangeChoice {
  enum class Kind : uint8_t { whole, part, unsatisfiable } kind = Kind::whole;
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// For GET only. Anything but one valid byte range, or an If-Range that does not hold, means the whole.
RangeChoice choose_range(const http::HeaderMap& headers, const Validators& current, uint64_t size);

}  // namespace sluice::proxy
