// The ids that the gateway gives to requests that came without: X-Request-Id (32 hex digits) and W3C Trace Context's
// traceparent (https://www.w3.org/TR/trace-context/). Unique, not secret.
#pragma once

#include <string_view>

#include "base/random.h"

namespace sluice::proxy {

constexpr size_t kRequestIdBytes = 32;
constexpr size_t kTraceparentBytes = 55;

/// Writes kRequestIdBytes bytes.
void write_request_id(Random& random, char* out);
/// Writes kTraceparentBytes bytes: version 00, `trace_id` (32 hex digits, such as a request id that was made here, so that the
/// log leads to the trace), a random parent id, flags 00 (not sampled: that is the tracer's choice).
void write_traceparent(std::string_view trace_id, Random& random, char* out);

/// True if a client's X-Request-Id may be passed on and logged: 1 to 128 of letters, digits and "-_.:/+=@".
bool is_acceptable_request_id(std::string_view id);
/// True if `value` has the form of a traceparent of version 00 with ids that are not all zero.
bool is_valid_traceparent(std::string_view value);

}  // namespace sluice::proxy
