// TickClock: time in ticks of the CPU, to measure spans far below a microsecond at the cost of one instruction, and what a tick
// is in nanoseconds. Where the CPU has no such counter a tick is a nanosecond of the monotonic clock. One per thread.
#pragma once

#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace sluice {

class TickClock {
 public:
  [[nodiscard]] static uint64_t now() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return nanos_now();
#endif
  }

  /// What `ticks`, a span, are in nanoseconds, by the length of a tick since the clock was made.
  [[nodiscard]] uint64_t nanos(uint64_t ticks) const {
    // Signed: that is one instruction each way.
    return static_cast<uint64_t>(
        static_cast<int64_t>(static_cast<double>(static_cast<int64_t>(ticks)) * nanos_per_tick_));
  }
  /// To be called now and then, with what now() said: it keeps nanos() exact.
  void follow(uint64_t now) {
    if (now >= measure_at_) measure();
  }

 private:
  static uint64_t nanos_now() {
    timespec ts{};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(ts.tv_nsec);
  }
  // The longer the span since the beginning, the better; so it is measured again at twice the age.
  void measure() {
    const uint64_t ticks = now() - began_ticks_;
    const uint64_t nanos = nanos_now() - began_nanos_;
    if (nanos > 1000 && ticks > 0) nanos_per_tick_ = static_cast<double>(nanos) / static_cast<double>(ticks);
    measure_at_ = now() + ticks;
  }

  uint64_t began_ticks_ = now();
  uint64_t began_nanos_ = nanos_now();
  uint64_t measure_at_ = 0;
  double nanos_per_tick_ = 1.0;
};

}  // namespace sluice
