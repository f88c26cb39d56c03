#include "proxy/problem.h"

#include <sys/socket.h>

#include <cstring>

#include "base/assert.h"
#include "http/message.h"
#include "http/serializer.h"
#include "proxy/access_log_text.h"

namespace sluice::proxy {

namespace {
// Every byte of it may become an escape of six; the fixed texts are far below the rest of kMaxProblemBytes.
constexpr size_t kMaxIdBytes = 80;
constexpr size_t kMaxDetailBytes = 200;
constexpr size_t kMaxReasonBytes = 64;

char* append(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}
}  // namespace

size_t write_problem(Reason reason, uint16_t status, std::string_view request_id, std::span<char> out) {
  return write_problem({status, name(reason), row(reason).text, request_id}, out);
}

size_t write_problem(const Problem& problem, std::span<char> out) {
  SL_ASSERT(out.size() >= kMaxProblemBytes);
  char* at = append(out.data(), R"({"type":"about:blank","title":")");
  at = append(at, http::phrase_of(problem.status));
  at = append(at, R"(","status":)");
  at = write_number(at, problem.status);
  at = append(at, R"(,"reason":")");
  at = append(at, problem.reason.substr(0, kMaxReasonBytes));
  at = append(at, R"(","detail":")");
  at = write_json_text(at, problem.detail.substr(0, kMaxDetailBytes));
  at = append(at, R"(","request_id":")");
  at = write_json_text(at, problem.request_id.substr(0, kMaxIdBytes));
  at = append(at, "\"}\n");
  return static_cast<size_t>(at - out.data());
}

void send_problem(int fd, Reason reason) {
  constexpr int kMaxReads = 16;
  char scratch[4096];
  for (int i = 0; i<kMaxReads&& ::recv(fd, scratch, sizeof scratch, MSG_DONTWAIT)> 0; ++i) continue;
  const uint16_t status = row(reason).status;
  char body[kMaxProblemBytes];
  const size_t length = write_problem(reason, status, {}, body);
  char answer[kMaxProblemBytes + 256];
  http::HeadWriter out(answer);
  out.status_line(status, http::phrase_of(status));
  out.field("Content-Type", kProblemType);
  out.field("Content-Length", length);
  if (status == 503) out.text("Retry-After: 1\r\n");
  out.text("Connection: close\r\n\r\n");
  out.text({body, length});
  [[maybe_unused]] const ssize_t sent = ::send(fd, answer, out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace sluice::proxy
