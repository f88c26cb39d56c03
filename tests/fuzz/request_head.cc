// Scanner, parser, framing and target of a request. However the bytes are cut the outcome is one; what is
// accepted keeps the grammar's promises; and what we would send on parses to the same again, so that no
// second reader sees other fields.
#include <array>
#include <vector>

#include "head.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/serializer.h"
#include "http/uri.h"

using namespace sluice;

namespace {

void check_written_again(const http::RequestHead& head) {
  std::array<char, 4096> memory;
  http::HeadWriter writer(memory);
  writer.request_line(head.method_text, head.target, {}, false);
  for (const http::HeaderField& field : head.headers) writer.field(field.name, field.value);
  writer.end();
  FUZZ_CHECK(!writer.overflowed());

  http::HeadScanner scanner;
  const auto length = scanner.scan(writer.view(), {});
  FUZZ_CHECK(length && *length == writer.size());
  std::array<http::HeaderField, 30> fields;
  const auto again = http::parse_request(writer.view(), fields);
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

// read_request(), which reads most heads in one pass, must come to what scanner and parser come to one after the other.
void check_one_pass(std::string_view bytes, const Result<size_t>& length, const Result<http::RequestHead>& two) {
  std::array<http::HeaderField, 30> fields;
  http::RequestHead head;
  http::HeadScanner scanner;
  const auto read = http::read_request(bytes, fuzz::kLimits, scanner, fields, head);
  if (length && *length == 0) {
    FUZZ_CHECK(read && *read == 0);
    return;
  }
  FUZZ_CHECK(read.has_value() == two.has_value());
  if (!read) {
    FUZZ_CHECK(read.error().reason == two.error().reason);
    return;
  }
  FUZZ_CHECK(*read == *length);
  FUZZ_CHECK(head.method == two->method && head.target == two->target && head.version == two->version);
  fuzz::check_same(head.headers, two->headers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  http::HeadScanner scanner;
  const auto length = fuzz::scan_all_ways(bytes, scanner);
  const std::string head = bytes.substr(0, length ? *length : 0);
  std::array<http::HeaderField, 30> fields;
  const auto request = length ? http::parse_request(head, fields) : Result<http::RequestHead>(length.error());
  check_one_pass(bytes, length, request);
  if (!request) return 0;
  fuzz::check_fields(request->headers, head, scanner.fields());
  check_written_again(*request);
  check_meaning(*request);
  return 0;
}
