// StoreHealth: what several workers tell of one store, and what the log hears of it.
#include "store/store_health.h"

#include <catch2/catch.hpp>
#include <optional>

#include "base/format.h"

using namespace sluice;
using namespace sluice::store;

namespace {
struct Workers {
  std::shared_ptr<StoreHealth> health = std::make_shared<StoreHealth>("test");
  StoreHealth::Member one{health}, two{health};
};
}  // namespace

TEST_CASE("a store is available when every worker can use it, and there is one", "[health]") {
  const auto health = std::make_shared<StoreHealth>("test");
  CHECK_FALSE(health->available());
  std::optional<StoreHealth::Member> one(health), two(health);
  one->update(true);
  CHECK_FALSE(health->available());
  two->update(true);
  CHECK(health->available());
  one->complain("gone", false);
  CHECK_FALSE(health->available());
  one.reset();  // with the configuration that it was of, and its complaint
  CHECK(health->available());
  two->update(true);
  CHECK(health->complaint().empty());
  two.reset();
  CHECK_FALSE(health->available());
}

TEST_CASE_METHOD(Workers, "each cause is one line, whoever tells it, and the store is back with the last worker",
                 "[health]") {
  one.update(true);
  two.update(true);
  for (int i = 0; i < 3; ++i) {
    one.complain("gone", false);
    two.complain("gone", false);
    one.complain("refused", false);
  }
  CHECK(health->lines() == 2);
  CHECK(health->complaint() == "refused");
  one.update(true);
  CHECK(health->complaint() == "refused");
  two.update(false);  // it connects
  CHECK(health->complaint() == "refused");
  two.update(true);
  CHECK(health->complaint().empty());
  CHECK(health->available());
}

TEST_CASE_METHOD(Workers, "one lost connection of several is told, and so is its return", "[health]") {
  one.update(true);
  two.update(true);
  one.complain("gone", true);
  CHECK(health->available());
  CHECK(health->complaint() == "gone");
  two.update(true);
  CHECK(health->complaint() == "gone");
  one.update(true);
  CHECK(health->complaint().empty());
}

TEST_CASE_METHOD(Workers, "losses that follow each other at once, and causes without end, do not fill the log",
                 "[health]") {
  SECTION("losses") {
    for (int i = 0; i < 50; ++i) {
      one.complain(fmt::format("gone for the {}th time", i), false);
      one.update(true);
      two.update(true);
    }
    CHECK(health->lines() == 1);
  }
  SECTION("causes") {
    for (int i = 0; i < 50; ++i) one.complain(fmt::format("for the {}th cause", i), false);
    CHECK(health->lines() == StoreHealth::kMaxLines);
  }
}
