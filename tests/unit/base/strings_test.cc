#include "base/strings.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace sluice;
using namespace std::string_view_literals;

TEST_CASE("case is ignored for ASCII letters only", "[strings]") {
  CHECK(iequals("Content-Length", "content-LENGTH"));
  CHECK_FALSE(iequals("a", "ab"));
  CHECK_FALSE(iequals("[", "{"));  // 0x20 apart, as letters are
  CHECK_FALSE(iequals("\xc4", "\xe4"));
}

TEST_CASE("trim takes spaces and tabs, nothing else", "[strings]") {
  CHECK(trim(" \t a b\t ") == "a b");
  CHECK(trim("\r\n") == "\r\n");
  CHECK(trim(" \t").empty());
  CHECK(trim("").empty());
}

TEST_CASE("a list's elements come one by one, empty ones too", "[strings]") {
  struct Row {
    std::string_view list;
    std::vector<std::string_view> elements;
  };
  const Row rows[] = {
      {"a", {"a"}}, {"a,b , c", {"a", "b", "c"}}, {",a,", {"", "a", ""}}, {"", {""}}, {" , ", {"", ""}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.list);
    std::vector<std::string_view> got;
    std::string_view rest = row.list, element;
    while (next_in_list(rest, element)) got.push_back(element);
    CHECK(got == row.elements);
  }
  std::string_view nothing, element;
  CHECK_FALSE(next_in_list(nothing, element));
}

TEST_CASE("numbers are decimal digits that fit 64 bits", "[strings]") {
  CHECK(parse_u64("0") == 0u);
  CHECK(parse_u64("007") == 7u);
  CHECK(parse_u64("18446744073709551615") == UINT64_MAX);
  for (const auto bad : {"", "18446744073709551616", "99999999999999999999", "-1", "+1", " 1", "1 ", "0x1", "1e3"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_u64(bad).has_value());
  }
  CHECK_FALSE(parse_u64("1\0"sv).has_value());
}

TEST_CASE("JSON escapes quotes, backslashes and control characters", "[strings]") {
  CHECK(json_quoted("plain") == R"("plain")");
  CHECK(json_quoted(R"(a"b\c)") == R"("a\"b\\c")");
  CHECK(json_quoted("\r\n\t\0"sv) == "\"\\u000d\\u000a\\u0009\\u0000\"");
  CHECK(json_quoted("\x7f") == "\"\\u007f\"");
  CHECK(json_quoted("/") == "\"/\"");
}

TEST_CASE("valid UTF-8 passes through JSON as it is", "[strings]") {
  for (const auto text : {"ä", "€", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(json_quoted(text) == '"' + std::string(text) + '"');
  }
}

TEST_CASE("each byte that is not UTF-8 becomes U+FFFD, and what follows is kept", "[strings]") {
  struct Row {
    std::string_view bytes;
    std::string_view escaped;
    const char* why;
  };
  const Row rows[] = {
      {"\xff", R"(\ufffd)", "never a lead byte"},
      {"\x80", R"(\ufffd)", "a continuation alone"},
      {"\xc0\xaf", R"(\ufffd\ufffd)", "overlong slash"},
      {"\xe0\x80\xaf", R"(\ufffd\ufffd\ufffd)", "overlong in three bytes"},
      {"\xf0\x80\x80\xaf", R"(\ufffd\ufffd\ufffd\ufffd)", "overlong in four bytes"},
      {"\xed\xa0\x80", R"(\ufffd\ufffd\ufffd)", "a surrogate"},
      {"\xf4\x90\x80\x80", R"(\ufffd\ufffd\ufffd\ufffd)", "past U+10FFFF"},
      {"\xf8\x88\x80\x80\x80", R"(\ufffd\ufffd\ufffd\ufffd\ufffd)", "five bytes"},
      {"\xe2\x82", R"(\ufffd\ufffd)", "cut short at the end"},
      {"\xe2\x82x", R"(\ufffd\ufffdx)", "cut short by a letter"},
      {"\xc3\"", R"(\ufffd\")", "a quote is not swallowed"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.why);
    std::string out;
    append_json_escaped(out, row.bytes);
    CHECK(out == row.escaped);
  }
}
