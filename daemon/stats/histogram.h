// A histogram that is cheap to write and honest at every scale: log-linear buckets, four to each power of
// two, so that a bucket is never wider than a quarter of its lower bound (HdrHistogram's idea with two bits
// of precision). Values are whole numbers, here microseconds: exact below 8 µs, the last bucket takes
// everything from 2 h 5 min on. In a Shard a histogram is a run of kCells: the sum of the values, then the
// buckets.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice::stats {

class Buckets {
 public:
  static constexpr unsigned kPrecisionBits = 2;
  static constexpr unsigned kTopBits = 33;  // values of more bits go into the last bucket
  static constexpr size_t kCount = (kTopBits - kPrecisionBits + 1) << kPrecisionBits;

  /// The bucket of a value; no branch, nine instructions.
  static constexpr uint32_t index(uint64_t value) {
    constexpr uint64_t kTop = (uint64_t{1} << kTopBits) - 1;
    const uint64_t v = value < kTop ? value : kTop;
    const auto shift = static_cast<uint32_t>(std::bit_width(v | (1u << kPrecisionBits))) - kPrecisionBits - 1;
    return (shift << kPrecisionBits) + static_cast<uint32_t>(v >> shift);
  }
  /// The least value of a bucket; lower(index + 1) is the first value past it. lower(kCount) is 2^kTopBits.
  static constexpr uint64_t lower(size_t index) {
    if (index < (2u << kPrecisionBits)) return index;
    const size_t shift = (index >> kPrecisionBits) - 1;
    const size_t mantissa = (index & ((1u << kPrecisionBits) - 1)) | (1u << kPrecisionBits);
    return uint64_t{mantissa} << shift;
  }
};

/// A histogram's contents, summed over the shards. A value type.
struct HistogramSnapshot {
  static constexpr size_t kCells = 1 + Buckets::kCount;

  std::array<uint64_t, Buckets::kCount> buckets{};
  uint64_t sum = 0;

  [[nodiscard]] uint64_t count() const;
  /// How many values are less than `limit`, which must be a bucket's lower bound, as every power of two is.
  [[nodiscard]] uint64_t count_below(uint64_t limit) const;
  /// The value below which the share `q` (0..1) of all values lies, linear inside its bucket; 0 if there are
  /// none.
  [[nodiscard]] double quantile(double q) const;
  /// An upper bound of the largest value; 0 if there are none.
  [[nodiscard]] uint64_t max() const;
};

}  // namespace sluice::stats
