// Time. Durations are std::chrono; a point in time on the monotonic clock is MonoTime. Code on the request path takes the
// time that its loop read at the start of the turn (event::Loop::now) and never asks the system itself.
#pragma once

#include <chrono>
#include <ctime>

namespace sluice {

using Micros = std::chrono::microseconds;
using Millis = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

struct MonoClock {
  using duration = Micros;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonoClock>;
  static constexpr bool is_steady = true;
  /// CLOCK_MONOTONIC through the vDSO: no system call.
  static time_point now() {
    timespec ts{};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return time_point(Micros(ts.tv_sec * 1'000'000 + ts.tv_nsec / 1000));
  }
};
using MonoTime = MonoClock::time_point;

/// Wall-clock time since the epoch, for logs and Date headers.
inline Micros wall_now() {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  return Micros(ts.tv_sec * 1'000'000 + ts.tv_nsec / 1000);
}

}  // namespace sluice
