// TimerWheel: all timeouts of one worker in a hierarchical timing wheel (Varghese & Lauck 1987), resolution 10 ms. Setting,
// moving and cancelling are O(1), allocate nothing and make no system call; deadlines are met late by up to one tick, never
// early. Timer is a member of whoever waits; it leaves the wheel when it is destroyed. The wheel is pure: its owner
// (event::Loop) calls advance() and asks when to be woken next. Single thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/intrusive_list.h"

namespace sluice::event {

struct TimerTag;
class TimerWheel;

class Timer : public ListNode<TimerTag> {
 public:
  /// `fire(owner)` runs on the loop's thread when the deadline has passed; the timer is unset by then and may be set again.
  Timer(TimerWheel& wheel, void (*fire)(void*), void* owner) : wheel_(&wheel), fire_(fire), owner_(owner) {}

  /// Sets or moves the deadline. Moving it later is one store: the timer stays where it is in the wheel and is re-filed when
  /// its old slot comes up, so that a deadline moved on every request costs next to nothing.
  void set(MonoTime deadline);
  void cancel();
  [[nodiscard]] bool is_set() const { return set_; }

 private:
  friend class TimerWheel;
  TimerWheel* wheel_;
  void (*fire_)(void*);
  void* owner_;
  uint64_t deadline_tick_ = 0;
  uint64_t filed_tick_ = 0;
  bool set_ = false;
};

class TimerWheel {
 public:
  static constexpr Micros kTick{10'000};

  explicit TimerWheel(MonoTime start);
  /// Fires everything that is due at `now`. Callbacks may set, cancel and destroy any timer.
  void advance(MonoTime now);
  /// When advance() should be called next at the latest; nothing if no timer is filed.
  [[nodiscard]] std::optional<MonoTime> next_wake() const;
  /// Called when next_wake() became earlier, so that the loop can re-arm its one kernel timer.
  void on_earlier(void (*notify)(void*), void* owner);
};

}  // namespace sluice::event
