// A second opinion: whatever head we accept, Node's llhttp must accept too, with the same method, target and
// fields, unless the difference is listed below. (The other direction does not hold: llhttp lets through what
// DESIGN §5 lists.) Heads are made by changing good ones at random, from a fixed seed.
#include <catch2/catch.hpp>

#ifdef SLUICE_HAVE_LLHTTP

#include <llhttp.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "heads.h"
#include "http/framing.h"

using namespace sluice;
using namespace sluice::http;
using namespace sluice::http::test;

namespace {

struct Seen {
  bool accepted = false;
  std::string method;
  std::string target;
  unsigned status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
};

// llhttp's view of one head. Data may come in pieces, hence the appending.
class Oracle {
 public:
  Seen read(llhttp_type_t type, std::string_view head) {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_url = [](llhttp_t* p, const char* at, size_t n) { return of(p).seen_.target.append(at, n), 0; };
    settings.on_header_field = [](llhttp_t* p, const char* at, size_t n) { return of(p).name_.append(at, n), 0; };
    settings.on_header_value = [](llhttp_t* p, const char* at, size_t n) { return of(p).value_.append(at, n), 0; };
    settings.on_header_value_complete = [](llhttp_t* p) { return of(p).end_field(); };
    settings.on_headers_complete = [](llhttp_t*) -> int { return HPE_PAUSED; };
    llhttp_t parser;
    llhttp_init(&parser, type, &settings);
    parser.data = this;
    seen_.accepted = llhttp_execute(&parser, head.data(), head.size()) == HPE_PAUSED;
    seen_.method = llhttp_method_name(static_cast<llhttp_method_t>(parser.method));
    seen_.status = parser.status_code;
    return seen_;
  }

 private:
  static Oracle& of(llhttp_t* parser) { return *static_cast<Oracle*>(parser->data); }
  int end_field() {
    // It leaves the white space behind a value.
    seen_.fields.emplace_back(std::exchange(name_, {}), std::string(trim(std::exchange(value_, {}))));
    return 0;
  }
  Seen seen_;
  std::string name_;
  std::string value_;
};

// What we accept and llhttp does not, on purpose:
// - QUERY, which is newer than llhttp 8.1;
// - HTAB beside the value of a framing field: RFC 9112 §5 lets white space there be SP or HTAB.
bool differs_by_design(const std::string& text) {
  if (text.starts_with("QUERY ")) return true;
  for (size_t at = 0; at < text.size(); at = std::min(text.find('\n', at), text.size() - 1) + 1) {
    const std::string_view line = std::string_view(text).substr(at, text.find('\n', at) - at);
    const std::string_view name = line.substr(0, line.find(':'));
    const bool framing = iequals(name, "content-length") || iequals(name, "transfer-encoding");
    if (framing && line.find('\t') != std::string_view::npos) return true;
  }
  return false;
}

std::vector<std::pair<std::string, std::string>> fields_of(const HeaderMap& headers) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const HeaderField& field : headers) fields.emplace_back(field.name, field.value);
  return fields;
}

// Changes `text` a little: bytes that matter to a parser, put in, put over, taken out; lines doubled.
std::string mutate(std::string text, std::mt19937& random) {
  static constexpr char kBytes[] = "\r\n \t:;,=\0\x01\x7f\x80\xff/?#%*\"(){}0159aAzZ-_.";
  const auto below = [&](size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); };
  for (size_t changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
    const size_t at = below(text.size());
    const char byte = kBytes[below(sizeof kBytes - 1)];
    switch (below(5)) {
      case 0: text.insert(at, 1, byte); break;
      case 1: text[at] = byte; break;
      case 2: text.erase(at, 1); break;
      case 3: text.insert(at, text.substr(at, 1)); break;
      default: {
        const size_t line = text.find("\r\n", at);
        if (line != std::string::npos) text.insert(line + 2, text.substr(at, line + 2 - at));
      }
    }
  }
  return text;
}

const std::vector<std::string>& good_requests() {
  static const std::vector<std::string> kHeads = {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /a/b?c=d HTTP/1.0\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: example.com:80\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n",
      "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\nTE: trailers\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET http://a.example/b?c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
      "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\nConnection: close, "
      "x\r\n\r\n",
      "DELETE /a%20b HTTP/1.1\r\nHost: [::1]:80\r\nX: \t y \t\r\nEmpty:\r\nA:b\r\n\r\n",
      "PROPFIND /c HTTP/1.1\r\nHost: a\r\nDepth: 1\r\nX-Obs: caf\xc3\xa9\r\n\r\n",
  };
  return kHeads;
}

const std::vector<std::string>& good_responses() {
  static const std::vector<std::string> kHeads = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
      "HTTP/1.1 204\r\nServer: x\r\n\r\n",
      "HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  };
  return kHeads;
}

void compare_request(const std::string& text) {
  const Request ours(text);
  if (!ours.ok() || !request_framing(ours.head()) || differs_by_design(text)) return;
  const Seen theirs = Oracle().read(HTTP_REQUEST, text);
  INFO(text);
  REQUIRE(theirs.accepted);
  REQUIRE(theirs.method == ours.head().method_text);
  REQUIRE(theirs.target == ours.head().target);
  REQUIRE(theirs.fields == fields_of(ours.head().headers));
}

void compare_response(const std::string& text) {
  const Response ours(text);
  if (!ours.ok() || !response_framing(ours.head(), Method::GET) || differs_by_design(text)) return;
  const Seen theirs = Oracle().read(HTTP_RESPONSE, text);
  INFO(text);
  REQUIRE(theirs.accepted);
  REQUIRE(theirs.status == ours.head().status);
  REQUIRE(theirs.fields == fields_of(ours.head().headers));
}

}  // namespace

TEST_CASE("llhttp agrees on every request head that we accept") {
  std::mt19937 random(9112);
  for (const std::string& head : good_requests()) {
    REQUIRE(Request(head).ok());
    compare_request(head);
    for (int i = 0; i < 5000; ++i) compare_request(mutate(head, random));
  }
}

TEST_CASE("llhttp agrees on every response head that we accept") {
  std::mt19937 random(9110);
  for (const std::string& head : good_responses()) {
    REQUIRE(Response(head).ok());
    compare_response(head);
    for (int i = 0; i < 5000; ++i) compare_response(mutate(head, random));
  }
}

#else

TEST_CASE("llhttp agrees on every head that we accept", "[.]") {
  WARN("skipped: llhttp's sources (Debian: node-llhttp) are not installed");
}

#endif
