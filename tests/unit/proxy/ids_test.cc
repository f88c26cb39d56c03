#include "proxy/ids.h"

#include <catch2/catch.hpp>

#include <set>
#include <string>

using namespace sluice;
using namespace sluice::proxy;

namespace {
std::string request_id(Random& random) {
  std::string id(kRequestIdBytes, '?');
  write_request_id(random, id.data());
  return id;
}
std::string traceparent(std::string_view trace_id, Random& random) {
  std::string made(kTraceparentBytes, '?');
  write_traceparent(trace_id, random, made.data());
  return made;
}
const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kValid = "00-" + kTrace + "-00f067aa0ba902b7-01";
}  // namespace

TEST_CASE("a request id is 32 lower-case hex digits, and never twice the same") {
  Random random(1);
  std::set<std::string> ids;
  for (int i = 0; i < 10'000; ++i) {
    const std::string id = request_id(random);
    REQUIRE(id.find_first_not_of("0123456789abcdef") == std::string::npos);
    REQUIRE(is_acceptable_request_id(id));
    REQUIRE(ids.insert(id).second);
  }
}

TEST_CASE("two workers do not make the same ids") {
  Random one, other;
  CHECK(request_id(one) != request_id(other));
}

TEST_CASE("a traceparent that is made here is valid, names the trace, and has a parent of its own") {
  Random random(1);
  std::set<std::string> parents;
  for (int i = 0; i < 1'000; ++i) {
    const std::string made = traceparent(kTrace, random);
    REQUIRE(is_valid_traceparent(made));
    REQUIRE(made.substr(0, 36) == "00-" + kTrace + "-");
    REQUIRE(made.substr(52) == "-00");
    REQUIRE(parents.insert(made.substr(36, 16)).second);
  }
}

TEST_CASE("ids of clients that may be passed on") {
  for (const std::string_view id : {"a", "0", "A-b_c.d:e/f+g=h@i", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}) {
    CAPTURE(id);
    CHECK(is_acceptable_request_id(id));
  }
  CHECK(is_acceptable_request_id(std::string(128, 'x')));
}

TEST_CASE("ids of clients that are replaced") {
  for (const std::string_view id :
       {"", " ", "a b", "a,b", "\"a\"", "<script>", "a\tb", "\xc3\xa4", "a;b", "a\\b", "{a}"}) {
    CAPTURE(id);
    CHECK_FALSE(is_acceptable_request_id(id));
  }
  CHECK_FALSE(is_acceptable_request_id(std::string(129, 'x')));
  CHECK_FALSE(is_acceptable_request_id(std::string_view("a\0b", 3)));
}

TEST_CASE("a traceparent is checked byte by byte") {
  CHECK(is_valid_traceparent(kValid));
  const auto changed = [](size_t at, char to) {
    std::string copy = kValid;
    copy[at] = to;
    return copy;
  };
  CHECK_FALSE(is_valid_traceparent(changed(0, 'f')));  // another version
  CHECK_FALSE(is_valid_traceparent(changed(2, '_')));
  CHECK_FALSE(is_valid_traceparent(changed(3, 'A')));  // upper case
  CHECK_FALSE(is_valid_traceparent(changed(34, 'g')));
  CHECK_FALSE(is_valid_traceparent(changed(35, '0')));
  CHECK_FALSE(is_valid_traceparent(changed(51, ' ')));
  CHECK_FALSE(is_valid_traceparent(changed(52, '0')));
  CHECK_FALSE(is_valid_traceparent(changed(54, '-')));
  CHECK_FALSE(is_valid_traceparent(kValid + "-x"));
  CHECK_FALSE(is_valid_traceparent(kValid.substr(0, 54)));
  CHECK_FALSE(is_valid_traceparent(""));
  CHECK_FALSE(is_valid_traceparent("00-" + std::string(32, '0') + "-00f067aa0ba902b7-01"));
  CHECK_FALSE(is_valid_traceparent("00-" + kTrace + "-" + std::string(16, '0') + "-01"));
}
