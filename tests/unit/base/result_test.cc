#include "base/result.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>

using namespace sluice;

TEST_CASE("a result holds a value or an error, never both", "[result]") {
  const Result<int> good = 7;
  CHECK(good.has_value());
  CHECK(*good == 7);
  const Result<int> bad = Reason::no_route;
  CHECK_FALSE(bad.has_value());
  CHECK(bad.error().reason == Reason::no_route);
}

TEST_CASE("an error made of a reason alone has an empty detail, not a null one", "[result]") {
  const Result<void> bad = Reason::bad_host;
  REQUIRE(bad.error().detail != nullptr);
  CHECK(std::string(bad.error().detail).empty());
}

TEST_CASE("errors are equal if their reasons are, whatever the detail", "[result]") {
  CHECK(Error{Reason::bad_host, "repeated"} == Error{Reason::bad_host, "missing"});
  CHECK_FALSE(Error{Reason::bad_host, "x"} == Error{Reason::bad_path, "x"});
}

TEST_CASE("a value that cannot be copied can be moved out", "[result]") {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = *std::move(result);
  CHECK(*taken == 5);
}

TEST_CASE("a result without a value is good unless it holds an error", "[result]") {
  CHECK(Result<void>().has_value());
  CHECK(static_cast<bool>(Result<void>()));
  CHECK_FALSE(Result<void>(Error{Reason::bad_chunk, "size"}).has_value());
}

TEST_CASE("the members of a value are reached by the arrow", "[result]") {
  Result<std::string> text = std::string("abc");
  CHECK(text->size() == 3);
  text.value() += "d";
  CHECK(text.value() == "abcd");
}
