// GCRA, the generic cell rate algorithm (ITU-T I.371, in its form with a theoretical arrival time): all that is kept of a
// key is the time at which its units would be used up evenly. Pure functions; times are nanoseconds of one clock.
#pragma once

#include <algorithm>
#include <cstdint>

#include "store/store.h"

namespace sluice::store {

struct GcraStep {
  bool allowed = false;
  int64_t arrival = 0;  // to keep if it is allowed: past it, nothing needs to be kept
  uint32_t remaining = 0;
  Micros retry_after{0};
  Micros reset_after{0};
};

/// One unit asked for at `now`; `arrival` is what was kept of the unit before, or 0.
inline GcraStep gcra_take(const Rate& rate, int64_t arrival, int64_t now) {
  constexpr int64_t kLongest = int64_t{10} * 365 * 86'400 * 1'000'000'000;  // sums of a few such do not overflow
  const auto product = [&](int64_t left, int64_t right) {
    int64_t result = 0;
    return __builtin_mul_overflow(left, right, &result) ? kLongest : std::clamp<int64_t>(result, 1, kLongest);
  };
  const auto micros = [](int64_t nanos) { return Micros((nanos + 999) / 1000); };  // never too early
  const int64_t interval = std::max<int64_t>(1, product(rate.period.count(), 1000) / std::max(1u, rate.units));
  const int64_t burst = product(interval, std::max(1u, rate.burst));
  // A rate that was changed may leave an arrival time far ahead.
  const int64_t before = std::clamp(arrival, now, now + kLongest);
  const int64_t next = before + interval;
  if (const int64_t wait = next - burst - now; wait > 0) {
    return {.arrival = arrival, .retry_after = micros(wait), .reset_after = micros(before - now)};
  }
  return {.allowed = true,
          .arrival = next,
          .remaining = static_cast<uint32_t>((burst - (next - now)) / interval),
          .reset_after = micros(next - now)};
}

}  // namespace sluice::store
