// TouchTable: when a session's time to live was last renewed by this worker, so that not every request has to. A table of a fixed
// size: what another one drives out is only renewed sooner. One worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace sluice::session {

class TouchTable {
 public:
  static constexpr size_t kSlots = 8192;
  using Time = std::chrono::microseconds;

  TouchTable() : slots_(kSlots) {}

  /// `key`: of the session, evenly spread.
  [[nodiscard]] bool was_touched(uint64_t key, Time since) const {
    const Slot& slot = slots_[key % kSlots];
    return slot.key == key && slot.at > since;
  }
  void note(uint64_t key, Time now) { slots_[key % kSlots] = {key, now}; }

 private:
  struct Slot {
    uint64_t key = 0;
    Time at{0};
  };
  std::vector<Slot> slots_;
};

}  // namespace sluice::session
