#include "stats/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"

namespace sluice::stats {

static_assert(Buckets::index(0) == 0 && Buckets::index(7) == 7 && Buckets::index(8) == 8 && Buckets::index(9) == 8);
static_assert(Buckets::index(~uint64_t{0}) == Buckets::kCount - 1);
static_assert(Buckets::lower(Buckets::kCount) == uint64_t{1} << Buckets::kTopBits);

uint64_t HistogramSnapshot::count() const { return std::accumulate(buckets.begin(), buckets.end(), uint64_t{0}); }

uint64_t HistogramSnapshot::count_below(uint64_t limit) const {
  const uint32_t end = Buckets::index(limit);
  SL_ASSERT(Buckets::lower(end) == limit);
  return std::accumulate(buckets.begin(), buckets.begin() + end, uint64_t{0});
}

double HistogramSnapshot::quantile(double q) const {
  const uint64_t total = count();
  if (total == 0) return 0;
  const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(total);
  double before = 0;
  size_t last = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] == 0) continue;
    last = i;
    const auto here = static_cast<double>(buckets[i]);
    if (before + here >= rank) {
      const auto low = static_cast<double>(Buckets::lower(i));
      const double share = std::max(0.0, rank - before) / here;
      return low + share * (static_cast<double>(Buckets::lower(i + 1)) - low);
    }
    before += here;
  }
  return static_cast<double>(Buckets::lower(last + 1));
}

uint64_t HistogramSnapshot::max() const {
  for (size_t i = buckets.size(); i > 0; --i) {
    if (buckets[i - 1] != 0) return Buckets::lower(i) - 1;
  }
  return 0;
}

}  // namespace sluice::stats
