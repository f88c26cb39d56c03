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

// read_response(), which reads most heads in one pass, must come to what scanner and parser come to one after the
// other.
void check_one_pass(std::string_view bytes, const Result<size_t>& length, const Result<http::ResponseHead>& two) {
  std::array<http::HeaderField, 30> fields;
  http::ResponseHead head;
  http::HeadScanner scanner;
  const auto read = http::read_response(bytes, fuzz::kLimits, scanner, fields, head);
  if (length && *length == 0) {
    FUZZ_CHECK(read && *read == 0);
    return;
  }
  FUZZ_CHECK(read.has_value() == two.has_value());
  if (!read) {
    FUZZ_CHECK(row(read.error().reason).side == Side::upstream);
    return;
  }
  FUZZ_CHECK(*read == *length);
  FUZZ_CHECK(head.status == two->status && head.phrase == two->phrase && head.version == two->version);
  fuzz::check_same(head.headers, two->headers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  http::HeadScanner scanner;
  const auto length = fuzz::scan_all_ways(bytes, scanner);
  const std::string head = bytes.substr(0, length ? *length : 0);
  std::array<http::HeaderField, 30> fields;
  const auto response = length ? http::parse_response(head, fields) : Result<http::ResponseHead>(length.error());
  check_one_pass(bytes, length, response);
  if (!response) return 0;
  fuzz::check_fields(response->headers, head, scanner.fields());
  check_meaning(*response);
  return 0;
}
