#include "http/parser.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "heads.h"

using namespace sluice;
using namespace sluice::http;
using namespace sluice::http::test;

TEST_CASE("a request head becomes method, target, version and fields as received") {
  const Request request(
      "POST /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nX-Odd_Name.1:\t two  words "
      "\t\r\nAccept:*/*\r\nEmpty:\r\nSpaces:  \t \r\n"
      "Via: 1.1 caf\xc3\xa9\r\nvia: x\r\n\r\n");
  REQUIRE(request.ok());
  const RequestHead& head = request.head();
  CHECK(head.method == Method::POST);
  CHECK(head.method_text == "POST");
  CHECK(head.target == "/a/b?c=d");
  CHECK(head.version == Version::http11);
  const auto fields = head.headers.fields();
  REQUIRE(fields.size() == 7);
  CHECK(fields[0].name == "Host");
  CHECK(fields[0].id == HeaderId::host);
  CHECK(fields[0].value == "example.com");
  CHECK(fields[1].name == "X-Odd_Name.1");
  CHECK(fields[1].value == "two  words");  // surrounding white space is none of the value's, RFC 9110 §5.5
  CHECK(fields[2].value == "*/*");
  CHECK(fields[3].value.empty());
  CHECK(fields[4].value.empty());
  CHECK(fields[5].value == "1.1 caf\xc3\xa9");
  CHECK(head.headers.repeated(HeaderId::via));
  CHECK_FALSE(head.headers.repeated(HeaderId::host));
}

TEST_CASE("the request line is METHOD SP TARGET SP HTTP/1.x and nothing else") {
  using enum Reason;
  const std::pair<std::string, Reason> rows[] = {
      {"GET / HTTP/1.1", none},
      {"GET / HTTP/1.0", none},
      {"OPTIONS * HTTP/1.1", none},
      {"GET http://a/ HTTP/1.1", none},
      {"GET !#{} HTTP/1.1", none},  // whether it is a URL is parse_target()'s question
      {"PROPPATCH / HTTP/1.1", none},
      {"GET / HTTP/1.2", bad_version},
      {"GET / HTTP/2.0", bad_version},
      {"GET / HTTP/0.9", bad_version},
      {"PRI * HTTP/2.0", bad_version},  // the HTTP/2 preface
      {"BREW / HTTP/1.1", bad_method},
      {"get / HTTP/1.1", bad_method},         // methods are case-sensitive
      {"GET/ / HTTP/1.1", bad_request_line},  // '/' is no token character
      {"G(T / HTTP/1.1", bad_request_line},
      {"", bad_request_line},
      {" ", bad_request_line},
      {"GET", bad_request_line},
      {"GET /", bad_request_line},  // HTTP/0.9
      {"GET HTTP/1.1", bad_request_line},
      {"GET  HTTP/1.1", bad_request_line},
      {" / HTTP/1.1", bad_request_line},
      {" GET / HTTP/1.1", bad_request_line},
      {"GET  / HTTP/1.1", bad_request_line},
      {"GET /  HTTP/1.1", bad_request_line},
      {"GET / HTTP/1.1 ", bad_request_line},
      {"GET /a b HTTP/1.1", bad_request_line},  // an unencoded space: which part is the target?
      {"GET\t/ HTTP/1.1", bad_request_line},
      {"GET /\tHTTP/1.1", bad_request_line},
      {"GET /a\tb HTTP/1.1", bad_request_line},
      {"GET /caf\xc3\xa9 HTTP/1.1", bad_request_line},
      {"GET / http/1.1", bad_request_line},
      {"GET / HTTP/1.", bad_request_line},
      {"GET / HTTP/1.10", bad_request_line},
      {"GET / HTTP/11.1", bad_request_line},
      {"GET / HTTP/1,1", bad_request_line},
      {"GET / HTTPS/1.1", bad_request_line},
      {"GET / RTSP/1.0", bad_request_line},
      {"GET / ICE/1.0", bad_request_line},
      {"SETUP rtsp://a/ RTSP/1.0", bad_request_line},
  };
  for (const auto& [line, reason] : rows) {
    CAPTURE(line);
    CHECK(Request(line + "\r\nHost: a\r\n\r\n").reason() == reason);
  }
}

TEST_CASE("a field line is a token, a colon at once, and a value") {
  using enum Reason;
  const std::pair<std::string, Reason> rows[] = {
      {"A: b", none},
      {"A:b", none},
      {"A:", none},
      {"A::", none},  // the value is a colon
      {"!#$%&'*+-.^_`|~09azAZ: every token character", none},
      {"A-Name-That-Is-Longer-Than-Any-Block-Or-Known-Name: b", none},
      {"X: \xff", none},
      {"Content-Length : 5", bad_header},  // white space before the colon, RFC 9112 §5.1
      {"Content-Length\t: 5", bad_header},
      {"Content Length: 5", bad_header},
      {": b", bad_header},
      {":", bad_header},
      {": b: c", bad_header},
      {"::", bad_header},
      {"_A: b", none},
      {"A", bad_header},
      {"no colon in this rather long line at all", bad_header},
      {"A(b): c", bad_header},
      {"A/b: c", bad_header},
      {"\"A\": c", bad_header},
      {"A@b: c", bad_header},
      {"A[0]: c", bad_header},
      {"{A}: c", bad_header},
      {"caf\xc3\xa9: c", bad_header},
      {"A-Name-That-Is-Longer-Than-Any-Block-(Or)-Known-Name: b", bad_header},
      {"A-Name-That-Is-Longer-Than-Any-Block-Or-Known-Name : b", bad_header},
  };
  for (const auto& [line, reason] : rows) {
    CAPTURE(line);
    CHECK(Request("GET / HTTP/1.1\r\n" + line + "\r\n\r\n").reason() == reason);  // last: near the head's end
    CHECK(Request("GET / HTTP/1.1\r\n" + line + "\r\nHost: example.com\r\n\r\n").reason() == reason);
    const Response response("HTTP/1.1 200 OK\r\n" + line + "\r\n\r\n");
    CHECK(response.reason() == (reason == none ? none : upstream_bad_response));
  }
}

TEST_CASE("every byte that is no token character is refused in a name, at every place") {
  for (int byte = 0x21; byte < 256; ++byte) {
    if (byte == ':' || byte == 0x7f) continue;
    for (size_t at = 0; at < 20; ++at) {
      std::string name(20, 'n');
      name[at] = static_cast<char>(byte);
      const bool token = is_token(std::string(1, static_cast<char>(byte)));
      CAPTURE(byte, at);
      REQUIRE(Request("GET / HTTP/1.1\r\n" + name + ": v\r\n\r\n").ok() == token);
    }
  }
}

TEST_CASE("more lines than the scanner remembers are parsed all the same") {
  std::string text = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 60; ++i) text += "name-" + std::to_string(i) + ": value " + std::to_string(i) + "\r\n";
  const Request request(text + "\r\n");
  REQUIRE(request.ok());
  REQUIRE(request.head().headers.size() == 60);
  for (size_t i = 0; i < 60; ++i) {
    const HeaderField& field = request.head().headers.fields()[i];
    CHECK(field.name == "name-" + std::to_string(i));
    CHECK(field.value == "value " + std::to_string(i));
  }
}

namespace {

// What read_request() must agree with: scanner, then parser.
std::string in_two_passes(const std::string& text, const HeadLimits& limits, std::span<HeaderField> fields,
                          RequestHead& head) {
  HeadScanner scanner;
  const auto length = scanner.scan(text, limits);
  if (!length) return std::string(name(length.error().reason));
  if (*length == 0) return "more";
  const auto parsed = parse_request(std::string_view(text).substr(0, *length), fields);
  if (!parsed) return std::string(name(parsed.error().reason));
  head = *parsed;
  return std::to_string(*length);
}

void require_same_in_one_pass(const std::string& text, const HeadLimits& limits = {}) {
  INFO(text);
  std::array<HeaderField, 100> fields;
  RequestHead expected;
  const std::string outcome = in_two_passes(text, limits, fields, expected);

  std::array<HeaderField, 100> other_fields;
  RequestHead head;
  HeadScanner scanner;
  const auto length = read_request(text, limits, scanner, other_fields, head);
  REQUIRE((!length ? name(length.error().reason) : *length == 0 ? "more" : std::to_string(*length)) == outcome);
  if (!length || *length == 0) return;
  CHECK(scanner.is_fresh());
  CHECK(head.method == expected.method);
  CHECK(head.target == expected.target);
  REQUIRE(head.headers.size() == expected.headers.size());
  for (size_t i = 0; i < head.headers.size(); ++i) {
    CHECK(other_fields[i].name == fields[i].name);
    CHECK(other_fields[i].value == fields[i].value);
    CHECK(other_fields[i].id == fields[i].id);
    CHECK(head.headers.repeated(fields[i].id) == expected.headers.repeated(fields[i].id));
  }
}

}  // namespace

TEST_CASE("one pass reads what two passes read, and refuses what they refuse") {
  const std::string text =
      get_with("A: b\r\nContent-Length:5 \r\nLonger-Than-Sixteen-Bytes: c\r\nEmpty:\r\nLast:  \t\r\n");
  for (size_t size = 0; size <= text.size(); ++size) require_same_in_one_pass(text.substr(0, size));
  require_same_in_one_pass(text + "body");
  const auto length = static_cast<uint32_t>(text.size());
  for (const uint32_t line : {13u, 14u}) {
    for (const uint32_t bytes : {length - 1, length}) {
      for (const uint32_t count : {5u, 6u}) {
        require_same_in_one_pass(text, {.first_line_bytes = line, .head_bytes = bytes, .fields = count});
      }
    }
  }
  for (const std::string line :
       {"A: caf\xc3\xa9", "A:\tb\t", "A: b\tc", "A: \x01", "A:\x01", "A: b\x7f", "A: b\x7f ", "A: b\nC: d",
        "A: b\rC: d", "A: b\r", " A: b", "A: b\r\n c", "A : b", ": b", "A", "A:b:c", "A:  b  "}) {
    require_same_in_one_pass(get_with(line + "\r\n"));
    require_same_in_one_pass(get_with(line + "\r\nLonger-Than-A-Block: b\r\n"));
    require_same_in_one_pass("GET / HTTP/1.1\r\n" + line);
  }
}

TEST_CASE("a head is read as its bytes arrive, and the scanner is ready for the next one") {
  const std::string text = "GET /a HTTP/1.1\r\nHost: b\r\n\r\n";
  HeadScanner scanner;
  std::array<HeaderField, 100> fields;
  RequestHead head;
  for (int round = 0; round < 2; ++round) {
    for (size_t size = 0; size < text.size(); ++size) {
      const std::string so_far = text.substr(0, size);
      CHECK(*read_request(so_far, {}, scanner, fields, head) == 0);
    }
    CHECK(*read_request(text, {}, scanner, fields, head) == text.size());
    CHECK(head.headers.value(HeaderId::host) == "b");
  }
}

TEST_CASE("an upstream's head that is too large is told from one that is wrong") {
  const auto reason = [](const std::string& text, const HeadLimits& limits = {}) {
    HeadScanner scanner;
    std::array<HeaderField, 100> fields;
    ResponseHead head;
    return read_response(text, limits, scanner, fields, head).error().reason;
  };
  const std::string text = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
  CHECK(reason(text, {.first_line_bytes = 10}) == Reason::upstream_head_too_large);
  CHECK(reason(text, {.head_bytes = 30}) == Reason::upstream_head_too_large);
  CHECK(reason(text, {.fields = 1}) == Reason::upstream_head_too_large);
  CHECK(reason("HTTP/1.1 200 OK\nA: b\n\n") == Reason::upstream_bad_response);
  CHECK(reason("HTTP/1.1 200 OK\r\nA : b\r\n\r\n") == Reason::upstream_bad_response);
  CHECK(reason("garbage\r\n\r\n") == Reason::upstream_bad_response);
}

TEST_CASE("a head can be copied out of the buffer that it was read in") {
  std::string buffer = "PUT /a HTTP/1.1\r\nHost: b\r\nhost: c\r\n\r\n";
  std::array<HeaderField, 4> fields;
  RequestHead head;
  HeadScanner scanner;
  REQUIRE(*read_request(buffer, {}, scanner, fields, head) == buffer.size());
  std::string bytes(buffer.size(), '\0');
  std::array<HeaderField, 4> copies;
  const RequestHead copy = copy_head(head, buffer, bytes.data(), copies);
  buffer.assign(buffer.size(), '#');
  fields.fill({});
  CHECK(copy.method == Method::PUT);
  CHECK(copy.method_text == "PUT");
  CHECK(copy.target == "/a");
  REQUIRE(copy.headers.size() == 2);
  CHECK(copy.headers.value(HeaderId::host) == "b");
  CHECK(copy.headers.repeated(HeaderId::host));
  CHECK(copy.headers.fields()[1].name == "host");
  CHECK(copy.headers.fields()[1].value == "c");
}

TEST_CASE("more field lines than memory was given for are refused, not written") {
  std::array<HeaderField, 2> fields;
  const auto parsed = parse_request("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", std::span(fields).first(1));
  REQUIRE_FALSE(parsed);
  CHECK(fields[1].name.empty());
}

TEST_CASE("the status line is HTTP/1.x SP three digits, and a phrase that may be missing") {
  struct Row {
    std::string line;
    uint16_t status;  // 0: refused
    std::string phrase;
  };
  const Row rows[] = {
      {"HTTP/1.1 200 OK", 200, "OK"},
      {"HTTP/1.0 404 Not Found", 404, "Not Found"},
      {"HTTP/1.1 100 Continue", 100, "Continue"},
      {"HTTP/1.1 599 ", 599, ""},
      {"HTTP/1.1 204", 204, ""},  // without the second space: many servers do
      {"HTTP/1.1 200 caf\xc3\xa9", 200, "caf\xc3\xa9"},
      {"HTTP/1.1 200  two", 200, " two"},
      {"HTTP/1.1  200 OK", 0, ""},
      {"HTTP/1.1 99 OK", 0, ""},
      {"HTTP/1.1 099 OK", 0, ""},
      {"HTTP/1.1 600 OK", 0, ""},
      {"HTTP/1.1 2000 OK", 0, ""},
      {"HTTP/1.1 20x OK", 0, ""},
      {"HTTP/1.1 +20 OK", 0, ""},
      {"HTTP/1.1 200OK", 0, ""},
      {"HTTP/1.1 200\tOK", 0, ""},
      {"HTTP/1.1", 0, ""},
      {"HTTP/1.2 200 OK", 0, ""},
      {"HTTP/2.0 200 OK", 0, ""},
      {"http/1.1 200 OK", 0, ""},
      {"ICY 200 OK", 0, ""},
      {" HTTP/1.1 200 OK", 0, ""},
      {"<html>", 0, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    const Response response(row.line + "\r\nServer: x\r\n\r\n");
    if (row.status == 0) {
      CHECK(response.reason() == Reason::upstream_bad_response);
      continue;
    }
    REQUIRE(response.ok());
    CHECK(response.head().status == row.status);
    CHECK(response.head().phrase == row.phrase);
    CHECK(response.head().version == (row.line[7] == '1' ? Version::http11 : Version::http10));
    CHECK(response.head().headers.size() == 1);
  }
}

TEST_CASE("a trailer section parses like the fields of a head") {
  std::array<HeaderField, 4> fields;
  const auto two = parse_fields("Digest: x\r\nServer-Timing: y\r\n\r\n", fields);
  REQUIRE(two);
  CHECK(two->size() == 2);
  CHECK(two->find("server-timing")->value == "y");
  CHECK(parse_fields("\r\n", fields)->size() == 0);
  CHECK(parse_fields("no colon\r\n\r\n", fields).error().reason == Reason::bad_header);
  CHECK(parse_fields(":\r\n\r\n", fields).error().reason == Reason::bad_header);
  CHECK(parse_fields("x\r\n", fields).error().reason == Reason::bad_header);
}

TEST_CASE("tokens and field values are told from other texts") {
  CHECK(is_token("x-y"));
  CHECK_FALSE(is_token(""));
  CHECK_FALSE(is_token("x y"));
  CHECK_FALSE(is_token("x:"));
  CHECK(is_field_value(""));
  CHECK(is_field_value("a \t b"));
  CHECK(is_field_value("\xff"));
  CHECK_FALSE(is_field_value(" a"));
  CHECK_FALSE(is_field_value("a\t"));
  CHECK_FALSE(is_field_value("a\rb"));
  CHECK_FALSE(is_field_value("a\nb"));
  CHECK_FALSE(is_field_value(std::string(1, '\0')));
  CHECK_FALSE(is_field_value("\x7f"));
}
