#include "stats/histogram.h"

#include <catch2/catch.hpp>
#include <random>

namespace sluice::stats {
namespace {

TEST_CASE("every value lies inside the bounds of its bucket") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t value = random() >> (31 + random() % 33);  // all magnitudes below 2^33
    const uint32_t index = Buckets::index(value);
    REQUIRE(index < Buckets::kCount);
    REQUIRE(Buckets::lower(index) <= value);
    REQUIRE(value < Buckets::lower(index + 1));
  }
}

TEST_CASE("buckets touch, grow, and are at most a quarter as wide as their lower bound") {
  for (size_t i = 0; i < Buckets::kCount; ++i) {
    const uint64_t low = Buckets::lower(i);
    const uint64_t high = Buckets::lower(i + 1);
    REQUIRE(low < high);
    REQUIRE(Buckets::index(low) == i);
    REQUIRE(Buckets::index(high - 1) == i);
    if (low >= 4) REQUIRE((high - low) * 4 <= low);
  }
}

TEST_CASE("the last bucket takes whatever is larger") {
  CHECK(Buckets::index(uint64_t{1} << 33) == Buckets::kCount - 1);
  CHECK(Buckets::index(~uint64_t{0}) == Buckets::kCount - 1);
  CHECK(Buckets::lower(Buckets::kCount - 1) > uint64_t{3600} * 1'000'000);
}

HistogramSnapshot of(std::initializer_list<uint64_t> values) {
  HistogramSnapshot histogram;
  for (const uint64_t value : values) {
    ++histogram.buckets[Buckets::index(value)];
    histogram.sum += value;
  }
  return histogram;
}

TEST_CASE("an empty histogram has no quantile and no maximum") {
  const HistogramSnapshot empty;
  CHECK(empty.count() == 0);
  CHECK(empty.quantile(0.99) == 0);
  CHECK(empty.max() == 0);
}

TEST_CASE("quantiles of evenly spread values are theirs") {
  constexpr uint64_t kEnd = 1 << 17;  // a bucket's bound: inside a bucket nothing is known
  HistogramSnapshot histogram;
  for (uint64_t value = 0; value < kEnd; ++value) ++histogram.buckets[Buckets::index(value)];
  for (const double q : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    INFO("quantile " << q);
    CHECK(histogram.quantile(q) == Approx(q * kEnd));
  }
  CHECK(histogram.max() == kEnd - 1);
}

TEST_CASE("one value alone is every quantile") {
  const auto histogram = of({300});
  for (const double q : {0.01, 0.5, 1.0}) {
    CHECK(histogram.quantile(q) >= Buckets::lower(Buckets::index(300)));
    CHECK(histogram.quantile(q) <= Buckets::lower(Buckets::index(300) + 1));
  }
}

TEST_CASE("values below a power of two are counted exactly") {
  const auto histogram = of({0, 1, 63, 64, 65, 127, 128, 1'000'000});
  CHECK(histogram.count_below(1) == 1);
  CHECK(histogram.count_below(64) == 3);
  CHECK(histogram.count_below(128) == 6);
  CHECK(histogram.count_below(uint64_t{1} << 20) == 8);
}

}  // namespace
}  // namespace sluice::stats
