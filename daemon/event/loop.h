// Loop: one thread's event loop: readiness, timers, letters from other threads, and the end-of-turn deletions.
// Owned by its Worker (or by the control thread). Everything here is called on the loop's own thread, but post() and stop().
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/block_pool.h"
#include "base/clock.h"
#include "event/handle.h"
#include "event/timer_wheel.h"

namespace sluice::event {

/// What may be handed to defer_delete().
class Deferred {
 public:
  Deferred() = default;
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  virtual ~Deferred() = default;
};

class Loop {
 public:
  static constexpr size_t kReadBufferBytes = 256 * 1024;

  Loop();
  /// Runs the loop until every handle of it is closed, then frees what was deferred.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Returns after stop().
  void run();
  /// Any thread.
  void stop();
  /// Runs `letter` on the loop's thread, in the order posted. Any thread. After the loop has stopped, letters are dropped.
  void post(std::function<void()> letter);

  /// Nobody deletes itself: whoever ends in the middle of its own callback is handed over here and freed at the end of the
  /// turn. Objects deferred by destructors that run then are freed in the same sweep (two lists, as Envoy does it).
  void defer_delete(std::unique_ptr<Deferred> object);
  /// The same for objects that live elsewhere (a Slab): `action` runs at the end of the turn. Function pointer, no allocation
  /// in the steady state.
  void at_turn_end(void (*action)(void*), void* argument);

  /// The monotonic time read when this turn began; refreshed by refresh_now().
  [[nodiscard]] MonoTime now() const { return now_; }
  /// The wall time of the same reading.
  [[nodiscard]] Micros wall() const { return wall_; }
  /// Reads both clocks again (vDSO); for the few places where a turn's resolution is too coarse.
  void refresh_now();

  [[nodiscard]] TimerWheel& timers() { return timers_; }
  [[nodiscard]] BlockPool& blocks() { return blocks_; }
  /// The one big buffer into which connections read. Lent for the length of a callback: bytes that must outlive it are copied.
  [[nodiscard]] std::span<char> read_buffer() { return {read_buffer_.get(), kReadBufferBytes}; }

  [[nodiscard]] uv_loop_t* uv() { return &uv_; }
  /// Turns made so far; written by the loop, read by any thread (watchdog).
  [[nodiscard]] uint64_t turns() const;

  // The members are private; see loop.cc. (The helper that implements this floor may lay them out as needed.)
 private:
  uv_loop_t uv_{};
  MonoTime now_;
  Micros wall_{};
  BlockPool blocks_;
  TimerWheel timers_;
  std::unique_ptr<char[]> read_buffer_;
};

}  // namespace sluice::event
