#include "proxy/problem.h"

#include <cstring>

#include "base/assert.h"
#include "http/message.h"
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

}  // namespace sluice::proxy
