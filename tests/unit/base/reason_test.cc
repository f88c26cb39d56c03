#include "base/reason.h"

#include <catch2/catch.hpp>
#include <cctype>
#include <set>
#include <string>

using namespace sluice;

namespace {
constexpr auto kReasons = static_cast<unsigned>(Reason::kCount);
}

TEST_CASE("every reason's text is a sentence", "[reason]") {
  for (unsigned i = 0; i < kReasons; ++i) {
    const ReasonRow& of = row(static_cast<Reason>(i));
    CAPTURE(of.name);
    REQUIRE(of.text.size() > 8);
    const auto first = static_cast<unsigned char>(of.text.front());
    // Or a key of the configuration, as the user writes it.
    const bool names_key = of.text.substr(0, of.text.find(' ')).find('.') != std::string_view::npos;
    CHECK((std::isupper(first) != 0 || names_key));
    CHECK(of.text.back() == '.');
    CHECK(of.text.find('"') == std::string_view::npos);
  }
}

TEST_CASE("reasons' names are unique, in snake_case, and fit a metric's label", "[reason]") {
  std::set<std::string_view> seen;
  for (unsigned i = 0; i < kReasons; ++i) {
    const std::string_view its = name(static_cast<Reason>(i));
    CAPTURE(its);
    CHECK(seen.insert(its).second);
    CHECK(its.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos);
  }
}

TEST_CASE("a reason's status is an error the client can get, or none", "[reason]") {
  for (unsigned i = 0; i < kReasons; ++i) {
    const ReasonRow& of = row(static_cast<Reason>(i));
    CAPTURE(of.name);
    CHECK((of.status == 0 || (of.status >= 400 && of.status <= 599)));
    if (of.status >= 400 && of.status < 500) CHECK(of.side == Side::downstream);
    if (of.side == Side::none) CHECK(of.status == 0);
  }
}

TEST_CASE("only upstreams' failures may be tried again", "[reason]") {
  for (unsigned i = 0; i < kReasons; ++i) {
    const ReasonRow& of = row(static_cast<Reason>(i));
    CAPTURE(of.name);
    if (of.retry != RetryHint::no) CHECK(of.side == Side::upstream);
  }
}

TEST_CASE("every side has a name of its own", "[reason]") {
  std::set<std::string_view> seen;
  for (const Side side : {Side::none, Side::downstream, Side::upstream, Side::internal, Side::config}) {
    CHECK(seen.insert(name(side)).second);
  }
}
