// Scanner, parser, framing and target of a request. However the bytes are cut the outcome is one; what is
// accepted keeps the grammar's promises; and what we would send on parses to the same again, so that no
// second reader sees other fields.
#include <array>
#include <vector>

#include "head.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/uri.h"

using namespace sluice;

namespace {

void check_written_again(const http::RequestHead& head) {
  const std::string written = fuzz::write_head(head);
  http::HeadScanner scanner;
  const auto length = scanner.scan(written, {});
  FUZZ_CHECK(length && *length == written.size());
  std::array<http::HeaderField, 30> fields;
  const auto again = http::parse_request(written, fields);
  FUZZ_CHECK(again && again->target == head.target && again->headers.size() == head.headers.size());
  for (size_t i = 0; i < head.headers.size(); ++i) {
    FUZZ_CHECK(fields[i].name == head.headers.fields()[i].name && fields[i].value == head.headers.fields()[i].value);
  }
}

void check_meaning(const http::RequestHead& head) {
  const auto framing = http::request_framing(head);
  if (framing) {
    FUZZ_CHECK(head.headers.count(http::HeaderId::host) == 1 || head.version == http::Version::http10);
    FUZZ_CHECK(framing->host.empty() || http::is_valid_authority(framing->host));
    FUZZ_CHECK(!framing->upgrade || framing->body.empty());
    FUZZ_CHECK(
        !(head.headers.has(http::HeaderId::content_length) && head.headers.has(http::HeaderId::transfer_encoding)));
  }
  for (const http::HeaderField& field : head.headers) {
    const bool dropped = http::is_hop_by_hop(field, head.headers, http::connection_options(head.headers));
    FUZZ_CHECK(!dropped || field.id != http::HeaderId::host);
  }
  const auto target = http::parse_target(head.target, head.method);
  if (!target) return;
  std::vector<char> scratch(target->path.size());
  (void)http::normalise_path(target->path, scratch).has_value();
  std::string_view value;
  (void)http::find_query_parameter(target->query, "a", value);
}

struct Same {
  bool operator()(Reason a, Reason b) const { return a == b; }
  bool operator()(const http::RequestHead& a, const http::RequestHead& b) const {
    return a.method == b.method && a.target == b.target;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::check_head({reinterpret_cast<const char*>(data), size}, http::parse_request, http::read_request, Same(),
                   [](const http::RequestHead& head) {
                     check_written_again(head);
                     check_meaning(head);
                   });
  return 0;
}
