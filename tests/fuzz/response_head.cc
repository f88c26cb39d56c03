// Scanner, parser and framing of an upstream's response head. However the bytes are cut the outcome is one,
// and what is accepted keeps the grammar's promises.
#include <array>

#include "head.h"
#include "http/framing.h"
#include "http/parser.h"

using namespace sluice;

namespace {

void check_meaning(const http::ResponseHead& head) {
  FUZZ_CHECK(head.status >= 100 && head.status <= 599);
  for (const http::Method method : {http::Method::GET, http::Method::HEAD}) {
    const auto framing = http::response_framing(head, method);
    if (!framing) {
      FUZZ_CHECK(framing.error().reason == Reason::upstream_bad_response);
      continue;
    }
    using Kind = http::BodyFraming::Kind;
    FUZZ_CHECK(framing->body.kind != Kind::until_close || !framing->keep_alive);
    FUZZ_CHECK(method != http::Method::HEAD || framing->body.kind == Kind::none);
    FUZZ_CHECK(head.status != 101 || framing->connection.upgrade);
  }
}

// One pass accepts what two passes accept, unless it holds HTAB or obs-text; and sees the same in it.
void check_one_pass(std::string_view bytes, size_t length, const http::ResponseHead* head) {
  std::array<http::HeaderField, 30> fields;
  http::ResponseHead one;
  const size_t read = http::read_response(bytes, fuzz::kLimits, fields, one);
  if (read == 0) {
    FUZZ_CHECK(head == nullptr || !fuzz::is_plain(bytes.substr(0, length)));
    return;
  }
  FUZZ_CHECK(head != nullptr && read == length);
  FUZZ_CHECK(one.status == head->status && one.phrase == head->phrase && one.version == head->version);
  fuzz::check_same(one.headers, head->headers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  http::HeadScanner scanner;
  const auto length = fuzz::scan_all_ways(bytes, scanner);
  if (!length || *length == 0) {
    check_one_pass(bytes, 0, nullptr);
    return 0;
  }
  const std::string head = bytes.substr(0, *length);
  std::array<http::HeaderField, 30> fields;
  const auto response = http::parse_response(head, fields);
  check_one_pass(bytes, *length, response ? &*response : nullptr);
  if (!response) return 0;
  fuzz::check_fields(response->headers, head, scanner.fields());
  check_meaning(*response);
  return 0;
}
