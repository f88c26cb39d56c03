#include "control/values.h"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace sluice::control;

TEST_CASE("durations are whole numbers with units in falling order") {
  struct Case {
    const char* text;
    int64_t millis;
  };
  const auto [text, millis] = GENERATE(values<Case>({{"0", 0},
                                                     {"0s", 0},
                                                     {"1ms", 1},
                                                     {"250ms", 250},
                                                     {"5s", 5000},
                                                     {"90s", 90000},
                                                     {"1m", 60000},
                                                     {"1m30s", 90000},
                                                     {"2h", 7200000},
                                                     {"1h2m3s4ms", 3723004},
                                                     {"1h4ms", 3600004},
                                                     {"0001s", 1000}}));
  CAPTURE(text);
  REQUIRE(parse_duration(text).has_value());
  CHECK(parse_duration(text)->count() == millis);
}

TEST_CASE("anything else is no duration") {
  const std::string text = GENERATE("", "5", "00", "s", "5 s", " 5s", "5s ", "1.5s", "-1s", "+1s", "5S", "5sec", "1s1m",
                                    "1s1s", "5ms2s", "1d", "5us", "1m30", "5s!", "9223372036854775808ms",
                                    "99999999999999999999s", "9223372036854775807s", "\x80s");
  CAPTURE(text);
  CHECK_FALSE(parse_duration(text).has_value());
}

TEST_CASE("a duration is written as it is read") {
  const std::string text = GENERATE("0", "1ms", "250ms", "5s", "1m", "1m30s", "1h", "25h1ms");
  CHECK(format_duration(*parse_duration(text)) == text);
}

TEST_CASE("sizes are whole numbers of bytes or of binary units") {
  struct Case {
    const char* text;
    uint64_t bytes;
  };
  const auto [text, bytes] = GENERATE(values<Case>({{"0", 0},
                                                    {"512", 512},
                                                    {"512B", 512},
                                                    {"1KiB", 1024},
                                                    {"64KiB", 65536},
                                                    {"10MiB", 10485760},
                                                    {"2GiB", 2147483648},
                                                    {"17179869183GiB", 18446744072635809792u}}));
  CAPTURE(text);
  REQUIRE(parse_size(text).has_value());
  CHECK(*parse_size(text) == bytes);
}

TEST_CASE("anything else is no size") {
  const std::string text = GENERATE("", "B", "KiB", "10MB", "10M", "10k", "1.5MiB", "-1", "1 KiB", "1KiB ", "1KiB2B",
                                    "1kib", "17179869184GiB", "18446744073709551616");
  CAPTURE(text);
  CHECK_FALSE(parse_size(text).has_value());
}

TEST_CASE("a size is written with the largest unit that divides it") {
  CHECK(format_size(0) == "0");
  CHECK(format_size(1) == "1B");
  CHECK(format_size(1025) == "1025B");
  CHECK(format_size(65536) == "64KiB");
  CHECK(format_size(10u << 20) == "10MiB");
  CHECK(format_size(3ull << 30) == "3GiB");
}

TEST_CASE("a share is a percentage or a fraction of one") {
  struct Case {
    const char* text;
    double share;
  };
  const auto [text, share] = GENERATE(values<Case>(
      {{"20%", 0.2}, {"0%", 0}, {"100%", 1}, {"0.5%", 0.005}, {"0.2", 0.2}, {"1", 1}, {"1.0", 1}, {"0", 0}}));
  CAPTURE(text);
  REQUIRE(parse_share(text).has_value());
  CHECK(*parse_share(text) == Approx(share));
}

TEST_CASE("anything else is no share") {
  const std::string text =
      GENERATE("", "%", "101%", "1.01", "2", "-1%", "1e0", "inf", "nan", "0x1", "1%%", "1 %", "1.2.3", ".");
  CAPTURE(text);
  CHECK_FALSE(parse_share(text).has_value());
}

TEST_CASE("a name with a port is read, in lower case") {
  const auto read = [](std::string_view text) {
    const auto parsed = parse_host_and_port(text);
    return parsed ? parsed->host + " " + std::to_string(parsed->port) : "nothing";
  };
  CHECK(read("Users.Internal:80") == "users.internal 80");
  CHECK(read("a:65535") == "a 65535");
  CHECK(read("_http.srv-1.a1:1") == "_http.srv-1.a1 1");
  CHECK(read("absolute.:80") == "absolute. 80");
  CHECK(read("1.2.3.4a:80") == "1.2.3.4a 80");
  const std::string longest =
      std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." + std::string(61, 'd');
  CHECK(read(longest + ":1") == longest + " 1");
  CHECK(read(longest + "d:1") == "nothing");
  CHECK(read(std::string(64, 'a') + ":1") == "nothing");
}

TEST_CASE("anything else is no name with a port") {
  const std::string text =
      GENERATE("", "a", ":80", "a:", "a:0", "a:65536", "a:-1", "a:80 ", " a:80", ".:80", "..:80", "a..b:80", ".a:80",
               "-a:80", "a-:80", "a_b:c", "a b:80", "a/b:80", "*.a:80", "127.0.0.1:80", "1.2.3:80", "a.1:80",
               "[::1]:80", "::1:80", "unix:/run/x.sock", "http://a:80", "\xc3\xa4:80");
  CAPTURE(text);
  CHECK_FALSE(parse_host_and_port(text).has_value());
}

TEST_CASE("the nearest word is suggested, and none that is far away") {
  const auto suggested = [](std::string_view word) {
    Suggestion suggestion(word);
    for (const char* candidate : {"address", "timeouts", "timeout", "limits", "on"}) suggestion.consider(candidate);
    return suggestion.text();
  };
  CHECK(suggested("adress") == "; did you mean \"address\"?");
  CHECK(suggested("addresss") == "; did you mean \"address\"?");
  CHECK(suggested("adderss") == "; did you mean \"address\"?");  // swapped neighbours are one edit
  CHECK(suggested("timeoutz") == "; did you mean \"timeouts\"?");
  CHECK(suggested("tiemout") == "; did you mean \"timeout\"?");
  CHECK(suggested("no") == "; did you mean \"on\"?");
  CHECK(suggested("").empty());
  CHECK(suggested("routes").empty());
  CHECK(suggested("zzzzzzz").empty());
  CHECK(suggested(std::string(1000, 'a')).empty());
}

TEST_CASE("what is shown of a value fits a line and moves no cursor") {
  CHECK(shortened("plain") == "plain");
  CHECK(shortened("a\nb\x1b[2J") == "a?b?[2J");
  CHECK(shortened(std::string(100, 'x')) == std::string(60, 'x') + "...");
}
