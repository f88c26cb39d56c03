// TimerWheel: all timeouts of one worker in a hierarchical timing wheel (Varghese & Lauck 1987), resolution
// 10 ms. Setting, moving and cancelling are O(1), allocate nothing and make no system call; deadlines are met
// late by up to one tick, never early. Timer is a member of whoever waits; it leaves the wheel when it is
// destroyed. The wheel is pure: its owner (event::Loop) calls advance() and asks when to be woken next.
// Single thread.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "base/clock.h"
#include "base/intrusive_list.h"

namespace sluice::event {

struct TimerTag;
class TimerWheel;

class Timer : public ListNode<TimerTag> {
 public:
  /// `fire(owner)` runs on the loop's thread when the deadline has passed; the timer is unset by then and may
  /// be set again.
  Timer(TimerWheel& wheel, void (*fire)(void*), void* owner) : wheel_(&wheel), fire_(fire), owner_(owner) {}

  /// Sets or moves the deadline. Moving it later is one store: the timer stays where it is in the wheel and
  /// is re-filed when its old slot comes up, so that a deadline moved on every request costs next to nothing.
  void set(MonoTime deadline);
  /// One store as well: the wheel drops the timer when its slot comes up.
  void cancel() { deadline_tick_ = kUnset; }
  [[nodiscard]] bool is_set() const { return deadline_tick_ != kUnset; }

 private:
  friend class TimerWheel;
  static constexpr uint64_t kUnset = std::numeric_limits<uint64_t>::max();

  TimerWheel* wheel_;
  void (*fire_)(void*);
  void* owner_;
  uint64_t deadline_tick_ = kUnset;
  uint64_t filed_tick_ = 0;  // while linked: where the wheel will look at it next; never after the deadline
};

class TimerWheel {
 public:
  static constexpr Micros kTick{10'000};

  explicit TimerWheel(MonoTime start);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Fires everything that is due at `now`. Callbacks may set, cancel and destroy any timer.
  void advance(MonoTime now);
  /// When advance() should be called next at the latest; nothing if no timer is filed.
  [[nodiscard]] std::optional<MonoTime> next_wake() const;
  /// `notify` is called when next_wake() became earlier, so that the loop can re-arm its one kernel timer.
  void on_earlier(void (*notify)(void*), void* owner);

 private:
  friend class Timer;
  using List = IntrusiveList<Timer, TimerTag>;
  static constexpr unsigned kLevels = 3;
  static constexpr unsigned kBits = 8;  // of the tick that one level covers
  static constexpr unsigned kSlots = 1u << kBits;
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  // Slot i of level n holds timers whose tick has i in its bits [8n, 8n+8). Level 0 is fired, the others are
  // cascaded.
  struct Level {
    std::array<List, kSlots> slots;
    // Bit i: slots[i] may hold something. Timers leave without telling, so a stale bit is dropped when it is
    // met.
    mutable std::array<uint64_t, kSlots / 64> occupied{};

    void push(unsigned slot, Timer& timer);
    /// How far the first occupied slot is from `start`, going round; nothing if all are empty.
    [[nodiscard]] std::optional<unsigned> distance_from(unsigned start) const;
  };

  void file(Timer& timer);
  void cascade(unsigned level, uint64_t tick);
  void fire_slot(uint64_t tick);
  [[nodiscard]] uint64_t next_event() const;

  std::array<Level, kLevels> levels_;
  uint64_t next_tick_;           // the first tick not yet fired
  uint64_t wake_tick_ = kNever;  // the earliest that the owner was told of
  bool advancing_ = false;
  void (*notify_)(void*) = nullptr;
  void* notify_owner_ = nullptr;
};

}  // namespace sluice::event
