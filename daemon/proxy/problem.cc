#include "proxy/problem.h"

#include <cstring>

#include "base/assert.h"
#include "http/message.h"
#include "proxy/access_log_text.h"

namespace sluice::proxy {

namespace {
// Every byte of it may become an escape of six; the fixed texts are far below the rest of kMaxProblemBytes.
constexpr size_t kMaxIdBytes = 80;

char* append(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}
}  // namespace

size_t write_problem(Reason reason, uint16_t status, std::string_view request_id, std::span<char> out) {
  SL_ASSERT(out.size() >= kMaxProblemBytes);
  const ReasonRow& about = row(reason);
  char* at = append(out.data(), R"({"type":"about:blank","title":")");
  at = append(at, http::phrase_of(status));
  at = append(at, R"(","status":)");
  at = write_number(at, status);
  at = append(at, R"(,"reason":")");
  at = append(at, about.name);
  at = append(at, R"(","detail":")");
  at = write_json_text(at, about.text);
  at = append(at, R"(","request_id":")");
  at = write_json_text(at, request_id.substr(0, kMaxIdBytes));
  at = append(at, "\"}\n");
  return static_cast<size_t>(at - out.data());
}

}  // namespace sluice::proxy
