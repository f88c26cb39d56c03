// What wrong passwords may cost a worker. Hashes for passwords are slow on purpose, and they are computed where requests are served:
// so each client may be wrong only so often, and all together take only a share of the worker's time. One worker.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace sluice::basic_auth {

using Time = std::chrono::microseconds;

/// Ten wrong passwords at once, then one each second, for each client; clients whose slot is the same share it.
class FailureLimit {
 public:
  static constexpr Time kInterval{1'000'000};
  static constexpr int kBurst = 10;

  /// Until it may try again; 0: now.
  [[nodiscard]] Time wait(size_t client, Time now) const {
    return std::max(free_at_[client % kSlots] - kInterval * (kBurst - 1) - now, Time(0));
  }
  void failed(size_t client, Time now) {
    Time& at = free_at_[client % kSlots];
    at = std::max(at, now) + kInterval;
  }

 private:
  static constexpr size_t kSlots = 1024;
  std::array<Time, kSlots> free_at_{};
};

/// The time that hashes may take: a fifth of what goes by, and half a second of it at once.
class TimeBudget {
 public:
  static constexpr int kShare = 5;
  static constexpr Time kMost{500'000};

  [[nodiscard]] bool has_some(Time now) {
    left_ = std::min(left_ + (now - seen_) / kShare, kMost);
    seen_ = now;
    return left_ > Time(0);
  }
  void take(Time time) { left_ -= time; }

 private:
  Time left_ = kMost;
  Time seen_{0};
};

}  // namespace sluice::basic_auth
