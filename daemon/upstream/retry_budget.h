// RetryBudget: retries may be at most a share of the requests of the last ten seconds, so that a failing upstream is not
// buried by its own clients' retries; a few are always allowed, so that a quiet upstream can be retried at all
// (the idea is Finagle's RetryBudget). Ten one-second slots in a ring. One per worker and cluster.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace sluice::upstream {

class RetryBudget {
 public:
  static constexpr uint32_t kAlwaysAllowed = 3;

  /// `share`: retries per request, 0..1.
  explicit RetryBudget(double share) : share_(share) {}

  void on_request(MonoTime now) { ++slot(now).requests; }
  /// True, and counted, if one more retry keeps within the budget.
  [[nodiscard]] bool try_spend(MonoTime now);

 private:
  struct Slot {
    int64_t second = -1;
    uint32_t requests = 0;
    uint32_t retries = 0;
  };
  Slot& slot(MonoTime now) {
    const int64_t second = now.time_since_epoch() / Seconds(1);
    Slot& found = slots_[static_cast<uint64_t>(second) % slots_.size()];
    if (found.second != second) found = {second, 0, 0};
    return found;
  }

  double share_;
  std::array<Slot, 10> slots_;
};

}  // namespace sluice::upstream
