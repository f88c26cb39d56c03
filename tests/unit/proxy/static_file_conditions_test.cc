#include "proxy/static_file_conditions.h"

#include <catch2/catch.hpp>

#include "header_list.h"

namespace sluice::proxy {
namespace {

constexpr int64_t kChanged = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr const char* kSame = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr const char* kEarlier = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr const char* kLater = "Sun, 06 Nov 1994 08:49:38 GMT";
const Validators kCurrent{"\"now\"", kChanged};

TEST_CASE("Conditional requests follow RFC 9110 section 13") {
  const struct {
    const char* about;
    HeaderList headers;
    Condition expected;
  } rows[] = {
      {"none", {}, Condition::proceed},
      {"If-None-Match, same", {{"If-None-Match", "\"now\""}}, Condition::not_modified},
      {"If-None-Match, weak form of ours", {{"If-None-Match", "W/\"now\""}}, Condition::not_modified},
      {"If-None-Match, in a list", {{"If-None-Match", "\"a\", W/\"b\" ,\"now\""}}, Condition::not_modified},
      {"If-None-Match, in a second field",
       {{"If-None-Match", "\"a\""}, {"If-None-Match", "\"now\""}},
       Condition::not_modified},
      {"If-None-Match, any", {{"If-None-Match", "*"}}, Condition::not_modified},
      {"If-None-Match, others", {{"If-None-Match", "\"a\", \"b\""}}, Condition::proceed},
      {"If-None-Match, a tag that holds a comma", {{"If-None-Match", "\"a,now\""}}, Condition::proceed},
      {"If-None-Match, without quotes", {{"If-None-Match", "now"}}, Condition::proceed},
      {"If-None-Match, empty", {{"If-None-Match", ""}}, Condition::proceed},
      {"If-Modified-Since, the same second", {{"If-Modified-Since", kSame}}, Condition::not_modified},
      {"If-Modified-Since, later", {{"If-Modified-Since", kLater}}, Condition::not_modified},
      {"If-Modified-Since, earlier", {{"If-Modified-Since", kEarlier}}, Condition::proceed},
      {"If-Modified-Since, RFC 850 form",
       {{"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"}},
       Condition::not_modified},
      {"If-Modified-Since, no date", {{"If-Modified-Since", "yesterday"}}, Condition::proceed},
      {"If-Modified-Since, twice", {{"If-Modified-Since", kSame}, {"If-Modified-Since", kSame}}, Condition::proceed},
      {"If-None-Match makes If-Modified-Since moot (13.1.3)",
       {{"If-None-Match", "\"old\""}, {"If-Modified-Since", kLater}},
       Condition::proceed},
      {"If-Match, same", {{"If-Match", "\"now\""}}, Condition::proceed},
      {"If-Match, any", {{"If-Match", "*"}}, Condition::proceed},
      {"If-Match, others", {{"If-Match", "\"a\""}}, Condition::failed},
      {"If-Match compares strongly (13.1.1)", {{"If-Match", "W/\"now\""}}, Condition::failed},
      {"If-Unmodified-Since, the same second", {{"If-Unmodified-Since", kSame}}, Condition::proceed},
      {"If-Unmodified-Since, earlier", {{"If-Unmodified-Since", kEarlier}}, Condition::failed},
      {"If-Unmodified-Since, no date", {{"If-Unmodified-Since", "never"}}, Condition::proceed},
      {"If-Match makes If-Unmodified-Since moot (13.1.4)",
       {{"If-Match", "\"now\""}, {"If-Unmodified-Since", kEarlier}},
       Condition::proceed},
      {"If-Match is judged before If-None-Match (13.2.2)",
       {{"If-None-Match", "\"now\""}, {"If-Match", "\"a\""}},
       Condition::failed},
      {"If-Match that holds leads on to If-None-Match",
       {{"If-Match", "\"now\""}, {"If-None-Match", "\"now\""}},
       Condition::not_modified},
  };
  for (auto row : rows) {
    INFO(row.about);
    CHECK(evaluate_conditions(row.headers, kCurrent) == row.expected);
  }
}

TEST_CASE("Without a Last-Modified of ours dates decide nothing") {
  const Validators undated{"\"now\"", std::nullopt};
  HeaderList headers{{"If-Modified-Since", kLater}, {"If-Unmodified-Since", kEarlier}};
  CHECK(evaluate_conditions(headers, undated) == Condition::proceed);
  HeaderList range{{"Range", "bytes=0-1"}, {"If-Range", kSame}};
  CHECK(choose_range(range, undated, 100).kind == RangeChoice::Kind::whole);
}

TEST_CASE("One byte range is served; all else in Range is ignored (RFC 9110 section 14)") {
  using Kind = RangeChoice::Kind;
  const struct {
    const char* range;
    uint64_t size;
    Kind kind;
    uint64_t offset = 0;
    uint64_t length = 0;
  } rows[] = {
      {"bytes=0-499", 1000, Kind::part, 0, 500},
      {"bytes=500-999", 1000, Kind::part, 500, 500},
      {"bytes=999-999", 1000, Kind::part, 999, 1},
      {"bytes=500-", 1000, Kind::part, 500, 500},
      {"bytes=0-", 1000, Kind::part, 0, 1000},
      {"bytes=900-5000", 1000, Kind::part, 900, 100},
      {"bytes=-300", 1000, Kind::part, 700, 300},
      {"bytes=-5000", 1000, Kind::part, 0, 1000},
      {"Bytes=1-2", 1000, Kind::part, 1, 2},
      {"bytes= 1-2", 1000, Kind::part, 1, 2},
      {"bytes=0-99999999999999999999999", 1000, Kind::part, 0, 1000},
      {"bytes=5000000000-5000000009", 6'000'000'000, Kind::part, 5'000'000'000, 10},
      {"bytes=-18446744073709551616", 10, Kind::part, 0, 10},
      {"bytes=1000-", 1000, Kind::unsatisfiable},
      {"bytes=1000-1001", 1000, Kind::unsatisfiable},
      {"bytes=99999999999999999999999-", 1000, Kind::unsatisfiable},
      {"bytes=-0", 1000, Kind::unsatisfiable},
      {"bytes=0-", 0, Kind::unsatisfiable},
      {"bytes=-5", 0, Kind::whole},
      {"bytes=0-1,5-6", 1000, Kind::whole},
      {"bytes=2-1", 1000, Kind::whole},
      {"bytes=-", 1000, Kind::whole},
      {"bytes=", 1000, Kind::whole},
      {"bytes=a-b", 1000, Kind::whole},
      {"bytes=1-b", 1000, Kind::whole},
      {"bytes=+1-2", 1000, Kind::whole},
      {"bytes=--2", 1000, Kind::whole},
      {"bytes=1 - 2", 1000, Kind::whole},
      {"bytes 0-1", 1000, Kind::whole},
      {"items=0-1", 1000, Kind::whole},
      {"", 1000, Kind::whole},
  };
  for (const auto& row : rows) {
    INFO(row.range << " of " << row.size);
    HeaderList headers{{"Range", row.range}};
    const RangeChoice choice = choose_range(headers, kCurrent, row.size);
    CHECK(choice.kind == row.kind);
    CHECK(choice.offset == row.offset);
    CHECK(choice.length == row.length);
  }
  HeaderList repeated{{"Range", "bytes=0-1"}, {"Range", "bytes=0-1"}};
  CHECK(choose_range(repeated, kCurrent, 1000).kind == Kind::whole);
}

TEST_CASE("A range is served only while If-Range names the file as it is") {
  const struct {
    const char* if_range;
    bool holds;
  } rows[] = {
      {"\"now\"", true}, {"W/\"now\"", false}, {"\"old\"", false},  {kSame, true},
      {kEarlier, false}, {kLater, false},      {"nonsense", false}, {"", false},
  };
  for (const auto& row : rows) {
    INFO(row.if_range);
    HeaderList headers{{"Range", "bytes=0-1"}, {"If-Range", row.if_range}};
    CHECK((choose_range(headers, kCurrent, 1000).kind == RangeChoice::Kind::part) == row.holds);
  }
}

}  // namespace
}  // namespace sluice::proxy
