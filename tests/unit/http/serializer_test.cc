#include "http/serializer.h"

#include <array>
#include <catch2/catch.hpp>
#include <string>

#include "heads.h"

using namespace sluice::http;

TEST_CASE("a request head is written as it will be parsed") {
  std::array<char, 256> memory;
  HeadWriter writer(memory);
  writer.request_line("GET", "/a", "b=c", true);
  writer.field("Host", "example.com");
  writer.field("Content-Length", uint64_t{18446744073709551615u});
  writer.end();
  CHECK_FALSE(writer.overflowed());
  CHECK(writer.view() == "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nContent-Length: 18446744073709551615\r\n\r\n");
  CHECK(test::Request(std::string(writer.view())).ok());
}

TEST_CASE("an empty query keeps its question mark, and no query has none") {
  std::array<char, 64> memory;
  HeadWriter with(memory);
  with.request_line("GET", "/", "", true);
  CHECK(with.view() == "GET /? HTTP/1.1\r\n");
  HeadWriter without(memory);
  without.request_line("GET", "/", "ignored", false);
  CHECK(without.view() == "GET / HTTP/1.1\r\n");
}

TEST_CASE("a status line has three digits and its phrase") {
  std::array<char, 64> memory;
  HeadWriter writer(memory);
  writer.status_line(404, "Not Found");
  writer.status_line(200, "");
  CHECK(writer.view() == "HTTP/1.1 404 Not Found\r\nHTTP/1.1 200 \r\n");
}

TEST_CASE("a head that does not fit says so and writes nothing past its memory, whatever the size") {
  for (size_t size = 0; size < 60; ++size) {
    std::string memory(size + 8, '#');
    HeadWriter writer(std::span(memory.data(), size));
    writer.status_line(200, "OK");
    writer.field("Content-Length", uint64_t{1234});
    writer.end();
    CHECK(writer.overflowed() == (size < 17 + 22 + 2));
    CHECK(writer.size() <= size);
    CHECK(memory.substr(size) == "########");
  }
}

TEST_CASE("once overflowed, a writer stays overflowed, though a shorter text would fit") {
  std::array<char, 8> memory;
  HeadWriter writer(memory);
  writer.text("123456789");
  writer.text("1");
  CHECK(writer.overflowed());
}

namespace {
std::string date(int64_t seconds) {
  char out[29];
  write_http_date(seconds, out);
  return {out, sizeof out};
}
}  // namespace

TEST_CASE("dates are written in RFC 9110's fixed form") {
  CHECK(date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(date(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(date(951782399) == "Mon, 28 Feb 2000 23:59:59 GMT");
  CHECK(date(951782400) == "Tue, 29 Feb 2000 00:00:00 GMT");
  CHECK(date(4102444800) == "Fri, 01 Jan 2100 00:00:00 GMT");
}

TEST_CASE("all three forms of a date are read") {
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
  CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == 784111777);
  CHECK(parse_http_date("Wed Nov 16 08:49:37 1994") == 784111777 + 10 * 86400);
  CHECK(parse_http_date("Saturday, 01-Jan-00 00:00:00 GMT") == 946684800);
  CHECK(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
  CHECK(parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == 1483228800);  // a leap second
}

TEST_CASE("a date that is written is read back, whatever its day") {
  for (int64_t day = 0; day < 40'000; day += 13) {
    const int64_t seconds = day * 86400 + day % 86400;
    REQUIRE(parse_http_date(date(seconds)) == seconds);
  }
}

TEST_CASE("what is no date is -1") {
  for (const char* text : {"",
                           "x",
                           "Sun",
                           "Sun, ",
                           "Sun, 06 Nov 1994 08:49:37",
                           "Sun, 06 Nov 1994 08:49:37 UTC",
                           "Sun, 06 Nov 1994 08:49:37 GMT ",
                           "Sun, 6 Nov 1994 08:49:37 GMT",
                           "Xun, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nox 1994 08:49:37 GMT",
                           "Sun, 31 Feb 1994 08:49:37 GMT",
                           "Sun, 00 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 24:00:00 GMT",
                           "Sun, 06 Nov 1994 08:60:37 GMT",
                           "Sun, 06 Nov 1994 08:49:61 GMT",
                           "Sun, 06 Nov 1994 08:49:3x GMT",
                           "Sun, 06 Nov 94 08:49:37 GMT",
                           "Funday, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov 6 08:49:37 1994",
                           "Sun Nov  6 08:49:37 94",
                           "784111777",
                           "unM, 06 Nov 1994 08:49:37 GMT"}) {
    CAPTURE(text);
    CHECK(parse_http_date(text) == -1);
  }
}
