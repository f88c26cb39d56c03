// SlotTable<T>: objects that others know by number only, so that a number whose object is gone leads nowhere: a slot's number
// changes with each use. Objects do not move; slots are reused, so that the steady state allocates nothing. Single thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace sluice {

template <typename T>
class SlotTable {
 public:
  /// Makes an object; returns its number, which is never 0.
  template <typename... Args>
  uint64_t make(Args&&... args) {
    uint32_t index = 0;
    if (free_.empty()) {
      index = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.object.emplace(std::forward<Args>(args)...);
    ++live_;
    return uint64_t{slot.use} << 32 | index;
  }
  /// nullptr if there is none of that number (any more).
  [[nodiscard]] T* find(uint64_t number) {
    const auto index = static_cast<uint32_t>(number);
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    return slot.object && slot.use == number >> 32 ? &*slot.object : nullptr;
  }
  /// Destroys the object, if there is one of that number.
  void erase(uint64_t number) {
    if (find(number) == nullptr) return;
    const auto index = static_cast<uint32_t>(number);
    slots_[index].object.reset();
    if (++slots_[index].use == 0) slots_[index].use = 1;
    free_.push_back(index);
    --live_;
  }
  [[nodiscard]] size_t live() const { return live_; }

 private:
  struct Slot {
    std::optional<T> object;
    uint32_t use = 1;
  };
  std::deque<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
};

}  // namespace sluice
