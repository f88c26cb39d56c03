#include "upstream/retry_budget.h"

#include <catch2/catch.hpp>

using namespace sluice;
using upstream::RetryBudget;

namespace {
const MonoTime kStart{Seconds(1'000'000)};

void request(RetryBudget& budget, MonoTime now, int count) {
  for (int i = 0; i < count; ++i) budget.on_request(now);
}

/// How many retries in a row are granted.
int granted(RetryBudget& budget, MonoTime now) {
  int count = 0;
  while (budget.try_spend(now) && count < 10'000) ++count;
  return count;
}
}  // namespace

TEST_CASE("a few retries are always allowed, so that a quiet upstream can be retried") {
  RetryBudget budget(0.2);
  CHECK(granted(budget, kStart) == RetryBudget::kAlwaysAllowed);
}

TEST_CASE("a budget of zero still allows the few") {
  RetryBudget budget(0);
  request(budget, kStart, 1000);
  CHECK(granted(budget, kStart) == RetryBudget::kAlwaysAllowed);
}

TEST_CASE("retries are at most the share of the requests") {
  RetryBudget budget(0.2);
  request(budget, kStart, 100);
  CHECK(granted(budget, kStart) == 20);
  request(budget, kStart, 4);
  CHECK_FALSE(budget.try_spend(kStart));  // 20.8
  request(budget, kStart, 1);
  CHECK(budget.try_spend(kStart));
}

TEST_CASE("the share counts the requests of the last ten seconds together") {
  RetryBudget budget(0.5);
  for (int second = 0; second < 10; ++second) request(budget, kStart + Seconds(second), 10);
  CHECK(granted(budget, kStart + Seconds(9)) == 50);
}

TEST_CASE("requests and retries older than ten seconds are forgotten") {
  RetryBudget budget(0.5);
  request(budget, kStart, 100);
  CHECK(granted(budget, kStart + Seconds(9)) == 50);
  CHECK(granted(budget, kStart + Seconds(10)) == 0);  // the requests are gone, the retries are not yet
  CHECK(granted(budget, kStart + Seconds(19)) == RetryBudget::kAlwaysAllowed);
}

TEST_CASE("a pause of many rounds of the ring leaves nothing behind") {
  RetryBudget budget(1);
  request(budget, kStart, 1000);
  CHECK(granted(budget, kStart + Seconds(10'000)) == RetryBudget::kAlwaysAllowed);
}

TEST_CASE("a retry that was refused is not counted") {
  RetryBudget budget(0.5);
  request(budget, kStart, 10);
  CHECK(granted(budget, kStart) == 5);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(budget.try_spend(kStart));
  request(budget, kStart, 2);
  CHECK(granted(budget, kStart) == 1);
}
