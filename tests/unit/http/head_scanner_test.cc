#include "http/head_scanner.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace sluice;
using namespace sluice::http;

namespace {

struct Outcome {
  Reason reason = Reason::none;
  size_t length = 0;
  uint32_t fields = 0;

  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(const HeadScanner& scanner, const Result<size_t>& result) {
  if (!result) return {result.error().reason, 0, 0};
  if (*result == 0) return {};
  return {Reason::none, *result, scanner.fields()};
}

Outcome scan_at_once(const std::string& bytes, const HeadLimits& limits = {}) {
  HeadScanner scanner;
  return outcome_of(scanner, scanner.scan(bytes, limits));
}

// Feeds growing prefixes, as a connection does; each in memory of its own, so that a sanitizer sees any byte
// too many.
Outcome scan_in_pieces(const std::string& bytes, const std::vector<size_t>& cuts, const HeadLimits& limits) {
  HeadScanner scanner;
  for (const size_t cut : cuts) {
    const std::string so_far = bytes.substr(0, cut);
    const Result<size_t> result = scanner.scan(so_far, limits);
    if (!result || *result > 0) return outcome_of(scanner, result);
  }
  return outcome_of(scanner, scanner.scan(bytes, limits));
}

// The outcome, after checking that no way of cutting the bytes into two reads, nor byte by byte, changes it.
Outcome scan(const std::string& bytes, const HeadLimits& limits = {}) {
  const Outcome whole = scan_at_once(bytes, limits);
  std::vector<size_t> each_byte;
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    INFO("cut at " << cut << " of " << bytes);
    CHECK(scan_in_pieces(bytes, {cut}, limits) == whole);
    each_byte.push_back(cut);
  }
  CHECK(scan_in_pieces(bytes, each_byte, limits) == whole);
  return whole;
}

std::string with_line(const std::string& line) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + line + "\r\nAccept: */*\r\n\r\n";
}

}  // namespace

TEST_CASE("a head ends with its first empty line, wherever the reads were cut") {
  const std::string rfc =
      "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\n"
      "Accept-Language: en, mi\r\n\r\n";  // RFC 9110 §3.9
  const std::pair<std::string, uint32_t> rows[] = {
      {rfc, 3},
      {rfc + "body \x01 of any bytes\n", 3},
      {rfc + rfc, 3},
      {"GET / HTTP/1.0\r\n\r\n", 0},
      {"HTTP/1.1 200 OK\r\nDate: x\r\n\r\n", 1},
      {"x\r\n\r\n", 0},                               // shorter than a block
      {with_line("A: tab\tinside"), 3},               // HTAB is no control character in a field line
      {with_line("A: caf\xc3\xa9 \xff"), 3},          // obs-text
      {with_line("A:"), 3},                           // an empty value
      {with_line("B: " + std::string(200, 'b')), 3},  // a line of many blocks
  };
  for (const auto& [bytes, fields] : rows) {
    CAPTURE(bytes);
    const Outcome outcome = scan(bytes);
    CHECK(outcome.reason == Reason::none);
    CHECK(outcome.length == bytes.find("\r\n\r\n") + 4);
    CHECK(outcome.fields == fields);
  }
}

TEST_CASE("a head that is not complete asks for more bytes") {
  for (const char* bytes : {"", "G", "GET / HTTP/1.1", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA",
                            "GET / HTTP/1.1\r\nA: b\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r", "\r"}) {
    CAPTURE(bytes);
    CHECK(scan(bytes) == Outcome{});
  }
}

TEST_CASE("what no head may contain is refused") {
  using enum Reason;
  const std::string nul(1, '\0');
  const std::pair<std::string, Reason> rows[] = {
      {"GET / HTTP/1.1\nHost: a\r\n\r\n", bad_line_end},  // bare LF
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", bad_line_end},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n", bad_line_end},  // bare LF as the empty line
      {"GET / HTTP/1.1\rHost: a\r\n\r\n", bad_line_end},  // bare CR
      {"GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", bad_line_end},
      {"GET / HTTP/1.1\r\r\n\r\n", bad_line_end},  // CR CR LF
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", bad_line_end},
      {"\n", bad_line_end},
      {with_line("A: " + nul), bad_line_end},
      {with_line("A" + nul + ": b"), bad_line_end},
      {with_line("A: \x01"), bad_line_end},
      {with_line("A: \x08"), bad_line_end},
      {with_line("A: \x0b"), bad_line_end},  // vertical tab, which some isspace() take for a space
      {with_line("A: \x0c"), bad_line_end},
      {with_line("A: \x1f"), bad_line_end},
      {with_line("A: \x7f"), bad_line_end},
      {with_line("Host: b\r\n continued"), bad_header},  // obs-fold
      {with_line("Host: b\r\n\tcontinued"), bad_header},
      {with_line(" Host: b"), bad_header},
      {with_line(" "), bad_header},                      // not the empty line that it looks like
      {"\r\nGET / HTTP/1.1\r\n\r\n", bad_request_line},  // skip_leading_crlf() was not asked, or not enough
  };
  for (const auto& [bytes, reason] : rows) {
    CAPTURE(bytes);
    CHECK(scan(bytes).reason == reason);
  }
}

TEST_CASE("every control character is refused at every place of a block, and nothing else is") {
  for (int byte = 0; byte < 256; ++byte) {
    const bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
    for (size_t at = 0; at < 40; ++at) {
      std::string line = "Name: " + std::string(40, 'v');
      line[6 + at] = static_cast<char>(byte);
      CAPTURE(byte, at);
      REQUIRE(scan_at_once(with_line(line)).reason == (control ? Reason::bad_line_end : Reason::none));
    }
  }
}

TEST_CASE("a refused byte is refused as soon as it is there, not at the end of the head") {
  HeadScanner scanner;
  CHECK(scanner.scan("GET / HTTP/1.1\r\nA: \x01", {}).error().reason == Reason::bad_line_end);
  HeadScanner folded;
  CHECK(folded.scan("GET / HTTP/1.1\r\nA: b\r\n c\r\n", {}).error().reason == Reason::bad_header);
}

TEST_CASE("limits hold to the byte, and also while the head is incomplete") {
  using enum Reason;
  const HeadLimits limits{.first_line_bytes = 20, .head_bytes = 60, .fields = 3};
  const std::string line20 = "GET /567890 HTTP/1.1";
  const std::string field = "A: 345678\r\n";  // 11 bytes
  struct Row {
    std::string bytes;
    Reason reason;
    size_t length;
  };
  const Row rows[] = {
      {line20 + "\r\n\r\n", none, 24},
      {line20 + "x\r\n\r\n", request_line_too_long, 0},
      {line20 + "x", request_line_too_long, 0},
      {line20, none, 0},
      {line20 + "\r", none, 0},  // the CR might end it
      {std::string(1000, 'x'), request_line_too_long, 0},
      {std::string(21, 'x') + "\x01", request_line_too_long, 0},  // the limit speaks first, wherever the reads were cut
      {std::string(20, 'x') + "\x01", bad_line_end, 0},
      {line20 + "\r\n" + field + field + field + "\r\n", none, 57},
      {line20 + "\r\n" + field + field + "A: 345678901\r\n\r\n", none, 60},
      {line20 + "\r\n" + field + field + "A: 3456789012\r\n\r\n", header_too_large, 0},
      {line20 + "\r\n" + field + field + "A: 345678901\r\n\r", none, 0},
      {line20 + "\r\nA: " + std::string(34, 'x'), none, 0},              // 59 bytes
      {line20 + "\r\nA: " + std::string(35, 'x'), header_too_large, 0},  // 60 bytes cannot become a head of 60 any more
      {line20 + "\r\n" + "a:\r\nb:\r\nc:\r\n\r\n", none, 36},
      {line20 + "\r\n" + "a:\r\nb:\r\nc:\r\nd:\r\n", too_many_headers, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.bytes);
    const Outcome outcome = scan(row.bytes, limits);
    CHECK(outcome.reason == row.reason);
    CHECK(outcome.length == row.length);
  }
}

TEST_CASE("a scanner is ready for the next head after reset") {
  HeadScanner scanner;
  CHECK(*scanner.scan("GET / HTTP/1.1\r\nA: b\r\n\r\n", {}) == 24);
  scanner.reset();
  CHECK(*scanner.scan("GET / HTTP/1.1\r\n\r\n", {}) == 18);
  CHECK(scanner.fields() == 0);
}

TEST_CASE("a trailer section has no first line and may be empty") {
  HeadScanner empty = HeadScanner::of_trailers();
  CHECK(*empty.scan("\r\n", {}) == 2);
  CHECK(empty.fields() == 0);
  HeadScanner one = HeadScanner::of_trailers();
  CHECK(*one.scan("A: b\r\n\r\n", {}) == 8);
  CHECK(one.fields() == 1);
  HeadScanner folded = HeadScanner::of_trailers();
  CHECK(folded.scan(" A: b\r\n\r\n", {}).error().reason == Reason::bad_header);
}

TEST_CASE("one empty line before a request is tolerated") {
  CHECK(skip_leading_crlf("\r\nGET") == 2);
  CHECK(skip_leading_crlf("\r\n\r\nGET") == 2);
  CHECK(skip_leading_crlf("\nGET") == 0);
  CHECK(skip_leading_crlf("\r") == 0);
  CHECK(skip_leading_crlf("GET") == 0);
}
