#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "session/cookie.h"
#include "session/record.h"
#include "session/touch_table.h"

using namespace sluice;
using namespace sluice::session;
using namespace std::chrono_literals;

namespace {

const std::string kId = "0123456789abcdefghij-A";
const std::string kOther = "ABCDEFGHIJKLMNOPQRST_w";

std::string found(const std::vector<std::string>& fields) {
  NamedCookies cookies("sid");
  for (const std::string& field : fields) cookies.add(field);
  const auto parsed = parse_cookies(cookies);
  if (!parsed) return cookies.count == 0 ? "none" : "forged";
  return std::string(parsed->id) + "|" + std::string(parsed->tag);
}

std::string left(const std::vector<std::string>& fields) {
  std::string out;
  for (const std::string& field : fields) leave_out(field, "sid", out);
  return out;
}

}  // namespace

TEST_CASE("the cookie is found wherever it stands, by its exact name", "[session]") {
  CHECK(found({}) == "none");
  CHECK(found({"", ";", " ; ;", "sidx=" + kId, "SID=" + kId, "sid", "a=sid=" + kId}) == "none");
  CHECK(found({"sid=" + kId}) == kId + "|");
  CHECK(found({"a=1; sid=" + kId + "." + kOther + " ; b=2"}) == kId + "|" + kOther);
  CHECK(found({"a=1", "\tsid = " + kId + ";"}) == kId + "|");
  CHECK(found({"sid=" + kId, "b; sid=" + kId}) == kId + "|");
}

TEST_CASE("a cookie that was not made here is told by its look", "[session]") {
  for (const std::string& value :
       {std::string(), std::string("x"), kId.substr(1), kId + "A", kId + ".", "." + kId, kId + "." + kOther + ".",
        kId + kOther, kId + "." + kOther.substr(1), "\"" + kId + "\"", kId.substr(0, 21) + "B", kId.substr(0, 21) + "=",
        "+" + kId.substr(1), kId.substr(0, 10) + " " + kId.substr(11)}) {
    CAPTURE(value);
    CHECK(found({"sid=" + value}) == "forged");
  }
  CHECK(found({"sid=" + kId + "; sid=" + kOther}) == "forged");
  CHECK(found({"sid=" + kId, "sid="}) == "forged");
}

TEST_CASE("the other cookies go on byte for byte", "[session]") {
  CHECK(left({"sid=1"}).empty());
  CHECK(left({"sid=1; sid=2", "sid=3"}).empty());
  CHECK(left({"a=1;  b=\"x; sid=1; c;d=;"}) == "a=1;  b=\"x; c;d=");
  CHECK(left({"sid=1;a=1; b=2"}) == "a=1; b=2");
  CHECK(left({"a=1; sid=1"}) == "a=1");
  CHECK(left({"a=1", "sid=1", "b=2;c=3", " d=4"}) == "a=1; b=2;c=3; d=4");
}

TEST_CASE("a session is read from the store as it was written", "[session]") {
  const Record record{Record::Kind::live, "version", 1234567890123, "generation", "alice", "a=1\tb\xff"};
  const std::string text = write_record(record);
  CHECK(text == "sversion\n1234567890123\ngeneration\nalice\na=1\tb\xff");
  CHECK(text.starts_with(record.front()));
  CHECK(text.starts_with(kLiveFront));
  const auto read = parse_record(text);
  REQUIRE(read);
  CHECK(write_record(*read) == text);

  const std::string rotated = write_record({Record::Kind::rotated, "key", -5, "", "", ""});
  const auto empty = parse_record(rotated);
  REQUIRE(empty);
  CHECK(empty->kind == Record::Kind::rotated);
  CHECK(empty->until_ms == -5);
  CHECK_FALSE(write_record(*empty).starts_with(kLiveFront));
}

TEST_CASE("what somebody else put under a key is no session", "[session]") {
  for (const std::string_view text :
       {"", "s", "sv", "sv\n1", "sv\n1\n", "sv\n1\ng\n", "sv\n1\ng\nalice", "s\n1\ng\na\nd", "xv\n1\ng\na\nd",
        "sv\n\ng\na\nd", "sv\n1x\ng\na\nd", "sv\n99999999999999999999\ng\na\nd", "7 123456"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_record(text));
  }
}

TEST_CASE("a session is good while its generation is there, up to its limit", "[session]") {
  const Record of_alice{Record::Kind::live, "v", 1000, "one", "alice", ""};
  CHECK(standing_of(of_alice, true, "one", 999) == Standing::good);
  CHECK(standing_of(of_alice, true, "one", 1000) == Standing::over);
  CHECK(standing_of(of_alice, true, "two", 999) == Standing::logged_out);
  CHECK(standing_of(of_alice, true, "", 999) == Standing::logged_out);   // removed, or lost
  CHECK(standing_of(of_alice, false, "", 999) == Standing::logged_out);  // a cookie that does not say whose it is

  const Record of_nobody{Record::Kind::live, "v", 1000, "", "", ""};
  CHECK(standing_of(of_nobody, false, "", 999) == Standing::good);
  CHECK(standing_of(of_nobody, true, "", 999) == Standing::logged_out);
  CHECK(standing_of(of_nobody, true, "one", 999) == Standing::logged_out);
}

TEST_CASE("who was touched is remembered, in a table that does not grow", "[session]") {
  TouchTable table;
  CHECK_FALSE(table.was_touched(0, 0s));
  table.note(7, 100s);
  CHECK(table.was_touched(7, 99s));
  CHECK_FALSE(table.was_touched(7, 100s));
  CHECK_FALSE(table.was_touched(7 + TouchTable::kSlots, 99s));
  table.note(7 + TouchTable::kSlots, 101s);
  CHECK_FALSE(table.was_touched(7, 99s));
}
