// Scanner, parser and framing of an upstream's response head. However the bytes are cut the outcome is one,
// and what is accepted keeps the grammar's promises.
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

struct Same {
  // The scanner speaks of requests.
  bool operator()(Reason a, Reason) const { return row(a).side == Side::upstream; }
  bool operator()(const http::ResponseHead& a, const http::ResponseHead& b) const {
    return a.status == b.status && a.phrase == b.phrase;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::check_head({reinterpret_cast<const char*>(data), size}, http::parse_response, http::read_response, Same(),
                   check_meaning);
  return 0;
}
