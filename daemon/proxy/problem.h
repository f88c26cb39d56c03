// The body of the errors that the gateway makes itself: application/problem+json (RFC 9457). It holds what
// the access log and /metrics hold too (the reason's code) and the request id, so that a user's screenshot
// leads to the line in the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/reason.h"

namespace sluice::proxy {

constexpr std::string_view kProblemType = "application/problem+json";
/// Enough for every reason and any request id; longer ids and details are cut.
constexpr size_t kMaxProblemBytes = 2048;

struct Problem {
  uint16_t status = 500;
  std::string_view reason;  // the code
  std::string_view detail;
  std::string_view request_id;
};
/// Writes the body and returns its length. `out` must hold kMaxProblemBytes.
size_t write_problem(const Problem& problem, std::span<char> out);
size_t write_problem(Reason reason, uint16_t status, std::string_view request_id, std::span<char> out);

/// The only answer that is written without an exchange, on a connection that ends with it: as much as the socket takes at once. What
/// the client has sent is read first, since closing would answer the rest of it with RST, and that destroys the answer.
void send_problem(int fd, Reason reason);

}  // namespace sluice::proxy
