#include "store/gcra.h"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace sluice::store;

namespace {

// A key of a rate: what a store does around gcra_take.
class Bucket {
 public:
  explicit Bucket(Rate rate) : rate_(rate) {}
  GcraStep take() {
    const GcraStep step = gcra_take(rate_, arrival_, now_);
    if (step.allowed) arrival_ = step.arrival;
    return step;
  }
  void wait(Micros time) { now_ += time.count() * 1000; }
  void change(Rate rate) { rate_ = rate; }

 private:
  Rate rate_;
  int64_t arrival_ = 0;
  int64_t now_ = 1'000'000'000'000'000;
};

}  // namespace

TEST_CASE("a burst is there at once, and then one unit each period / units") {
  Bucket bucket({.units = 10, .period = Seconds(1), .burst = 3});
  for (const uint32_t remaining : {2u, 1u, 0u}) {
    const GcraStep step = bucket.take();
    CHECK(step.allowed);
    CHECK(step.remaining == remaining);
    CHECK(step.reset_after == Millis(100) * (3 - remaining));
    CHECK(step.retry_after == Micros(0));
  }
  const GcraStep refused = bucket.take();
  CHECK_FALSE(refused.allowed);
  CHECK(refused.remaining == 0);
  CHECK(refused.retry_after == Millis(100));
  CHECK(refused.reset_after == Millis(300));
  bucket.wait(Micros(99'999));
  CHECK(bucket.take().retry_after == Micros(1));
  bucket.wait(Micros(1));
  CHECK(bucket.take().allowed);
  CHECK_FALSE(bucket.take().allowed);
}

TEST_CASE("what is refused costs nothing") {
  Bucket bucket({.units = 1, .period = Seconds(1), .burst = 1});
  CHECK(bucket.take().allowed);
  for (int i = 0; i < 1000; ++i) REQUIRE_FALSE(bucket.take().allowed);
  bucket.wait(Seconds(1));
  CHECK(bucket.take().allowed);
}

TEST_CASE("a rate that does not divide its period is kept in the long run") {
  Bucket bucket({.units = 3, .period = Seconds(1), .burst = 1});
  CHECK(bucket.take().reset_after == Micros(333'334));  // never told too early
  CHECK(bucket.take().retry_after == Micros(333'334));
  int allowed = 1;
  for (int i = 0; i < 100'000; ++i, bucket.wait(Millis(1))) allowed += bucket.take().allowed ? 1 : 0;
  CHECK(allowed >= 299);  // units are taken at whole milliseconds: 334 ms apart
  CHECK(allowed <= 300);
}

TEST_CASE("more than a unit for each microsecond is a rate too") {
  Bucket bucket({.units = 4'000'000, .period = Seconds(1), .burst = 2});
  CHECK(bucket.take().allowed);
  CHECK(bucket.take().allowed);
  CHECK_FALSE(bucket.take().allowed);
  bucket.wait(Micros(1));
  CHECK(bucket.take().remaining == 1);
}

TEST_CASE("what was taken under another rate counts") {
  Bucket bucket({.units = 1, .period = Seconds(3600), .burst = 100});
  for (int i = 0; i < 100; ++i) bucket.take();
  bucket.change({.units = 100, .period = Seconds(1), .burst = 10});
  const GcraStep step = bucket.take();
  CHECK_FALSE(step.allowed);
  CHECK(step.reset_after == Seconds(360'000));
}

TEST_CASE("no rate overflows") {
  constexpr Rate kHuge{.units = 1, .period = Micros::max(), .burst = ~0u};
  for (const int64_t arrival : {INT64_MIN, int64_t{0}, INT64_MAX}) {
    const GcraStep step = gcra_take(kHuge, arrival, 1'000'000'000);
    CHECK(step.allowed == (arrival != INT64_MAX));
    CHECK(step.reset_after.count() > 0);
    CHECK(step.retry_after.count() >= 0);
  }
  CHECK(gcra_take({.units = ~0u, .period = Micros(1), .burst = ~0u}, 0, 0).remaining == ~0u - 1);
}
