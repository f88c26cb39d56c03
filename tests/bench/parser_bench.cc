// Our scan + parse of a message head against llhttp on the same bytes, which it turns into the same views of
// names and values. The rule of daemon/DECISIONS.md: a parser of our own must beat the library, or the
// library is used.
#include <array>
#include <span>
#include <string_view>

#include "bench.h"
#include "http/framing.h"
#include "http/head_scanner.h"
#include "http/parser.h"
#include "http/uri.h"
#ifdef SLUICE_HAVE_LLHTTP
#include <llhttp.h>
#endif

namespace {

using namespace sluice;

const std::string_view kRequest = bench::hide<std::string_view>(
    "GET /api/v1/users/42?expand=profile HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Referer: https://www.example.com/users\r\n"
    "Cookie: session=0f8fad5bd9cb469fa16570867728950e; theme=dark\r\n"
    "\r\n");
const std::string_view kResponse = bench::hide<std::string_view>(
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx/1.22.1\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 128\r\n"
    "Connection: keep-alive\r\n"
    "ETag: \"5d8c72a5edda8d6a\"\r\n"
    "\r\n");

std::array<http::HeaderField, 100> fields;

constexpr http::HeadLimits kLimits;

size_t read_request(http::RequestHead& head) {
  http::HeadScanner scanner;
  return *http::read_request(kRequest, kLimits, scanner, fields, head);
}
size_t read_response(http::ResponseHead& head) {
  http::HeadScanner scanner;
  return *http::read_response(kResponse, kLimits, scanner, fields, head);
}

#ifdef SLUICE_HAVE_LLHTTP
// Collects what our parser delivers: target and fields as views.
struct Collector {
  std::string_view target;
  size_t count = 0;

  static Collector& of(llhttp_t* parser) { return *static_cast<Collector*>(parser->data); }
  static int on_target(llhttp_t* parser, const char* at, size_t length) {
    of(parser).target = {at, length};
    return 0;
  }
  static int on_name(llhttp_t* parser, const char* at, size_t length) {
    fields[of(parser).count].name = {at, length};
    return 0;
  }
  static int on_value(llhttp_t* parser, const char* at, size_t length) {
    fields[of(parser).count++].value = {at, length};
    return 0;
  }
  static int on_head(llhttp_t*) { return HPE_PAUSED; }
};

llhttp_settings_t collector_settings() {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_url = Collector::on_target;
  settings.on_header_field = Collector::on_name;
  settings.on_header_value = Collector::on_value;
  settings.on_headers_complete = Collector::on_head;
  return settings;
}

void run_llhttp(llhttp_type_t type, std::string_view head) {
  static const llhttp_settings_t settings = collector_settings();
  Collector collector;
  llhttp_t parser;
  llhttp_init(&parser, type, &settings);
  parser.data = &collector;
  bench::keep(llhttp_execute(&parser, head.data(), head.size()));
  bench::keep(collector.count);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  bench::Runner runner(argc, argv);
  runner.run("request/read", [] {
    http::RequestHead head;
    bench::keep(read_request(head));
  });
  runner.run("request/read+copy", [] {
    http::RequestHead head;
    const size_t length = read_request(head);
    static std::array<char, 1024> bytes;
    static std::array<http::HeaderField, 100> copies;
    bench::keep(http::copy_head(head, kRequest.substr(0, length), bytes.data(), copies).headers.size());
  });
  runner.run("request/read+framing+target", [] {
    http::RequestHead head;
    bench::keep(read_request(head));
    bench::keep(http::request_framing(head)->keep_alive);
    const auto target = http::parse_target(head.target, head.method);
    std::array<char, 256> scratch;
    bench::keep(http::normalise_path(target->path, scratch)->size());
  });
  runner.run("request/scan,parse", [] {
    http::HeadScanner scanner;
    const size_t length = *scanner.scan(kRequest, kLimits);
    bench::keep(http::parse_request(kRequest.substr(0, length), fields)->headers.size());
  });
  runner.run("response/read", [] {
    http::ResponseHead head;
    bench::keep(read_response(head));
  });
  runner.run("response/read+framing", [] {
    http::ResponseHead head;
    bench::keep(read_response(head));
    bench::keep(http::response_framing(head, http::Method::GET)->keep_alive);
  });
  runner.run("response/scan,parse", [] {
    http::HeadScanner scanner;
    const size_t length = *scanner.scan(kResponse, kLimits);
    bench::keep(http::parse_response(kResponse.substr(0, length), fields)->headers.size());
  });
#ifdef SLUICE_HAVE_LLHTTP
  runner.run("request/llhttp", [] { run_llhttp(HTTP_REQUEST, kRequest); });
  runner.run("response/llhttp", [] { run_llhttp(HTTP_RESPONSE, kResponse); });
#endif
}
