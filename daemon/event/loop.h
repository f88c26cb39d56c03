// Loop: one thread's event loop: readiness, timers, letters from other threads, and the end-of-turn
// deletions. Owned by its Worker (or by the control thread). Everything here is called on the loop's own
// thread, but post() and stop().
//
// A turn: wait for readiness (Poller) · read the clocks · readiness callbacks · timers that are due ·
// end-of-turn deletions. Sockets and timers are our own; libuv does what is rare and hard to get right
// (wake-ups across threads, signals, and later name resolution and files): its loop rides along as one more
// watched descriptor.
#pragma once

#include <uv.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/block_pool.h"
#include "base/clock.h"
#include "event/handle.h"
#include "event/poller.h"
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

class Loop final : private Poller::Watcher {
 public:
  static constexpr size_t kReadBufferBytes = 128 * 1024;

  Loop();
  /// Frees what was deferred and waits until every handle is closed. Whatever uses the loop must be gone
  /// before it.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Returns after stop(); may be called again then. A stop() that comes before run() is not lost.
  void run();
  /// Any thread.
  void stop();
  /// Runs `letter` on the loop's thread, in the order posted. Any thread. After the loop has stopped, letters
  /// are dropped.
  void post(std::function<void()> letter);

  /// Nobody deletes itself: whoever ends in the middle of its own callback is handed over here and freed at
  /// the end of the turn. Objects deferred by destructors that run then are freed in the same sweep (two
  /// lists, as Envoy does it).
  void defer_delete(std::unique_ptr<Deferred> object);
  /// The same for objects that live elsewhere (a Slab): `action` runs at the end of the turn. Function
  /// pointer, no allocation in the steady state.
  void at_turn_end(void (*action)(void*), void* argument);

  /// The monotonic time read when this turn began; refreshed by refresh_now().
  [[nodiscard]] MonoTime now() const { return now_; }
  /// The wall time of the same reading.
  [[nodiscard]] Micros wall() const { return wall_; }
  /// Reads both clocks again (vDSO); for the few places where a turn's resolution is too coarse.
  void refresh_now();

  [[nodiscard]] TimerWheel& timers() { return timers_; }
  [[nodiscard]] BlockPool& blocks() { return blocks_; }
  /// The one big buffer into which connections read. Lent for the length of a callback: bytes that must
  /// outlive it are copied.
  [[nodiscard]] std::span<char> read_buffer() { return {read_buffer_.get(), kReadBufferBytes}; }

  /// For the event floor and what it carries (TLS): sockets are watched here.
  [[nodiscard]] Poller& poller() { return poller_; }
  [[nodiscard]] uv_loop_t* uv() { return &uv_; }
  /// Turns made so far; written by the loop, read by any thread (watchdog).
  [[nodiscard]] uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }

 private:
  struct TurnEnd {
    void (*action)(void*);
    void* argument;
  };
  enum class Phase : uint8_t { idle, running, stopping, stopped };

  void on_ready(uint32_t events) override;
  void turn();
  void end_turn();
  [[nodiscard]] int wait_ms();
  void note_wake();
  void on_letters();
  void run_turn_ends();

  Poller poller_;
  uv_loop_t uv_{};
  MonoTime now_;
  Micros wall_{};
  MonoTime wake_ = MonoTime::max();  // when the wheel must be advanced
  std::atomic<uint64_t> turns_{0};
  std::vector<TurnEnd> turn_ends_;
  std::vector<TurnEnd> turn_ends_running_;  // the second list, kept for its capacity
  BlockPool blocks_;
  TimerWheel timers_;
  std::unique_ptr<char[]> read_buffer_;
  Owned<uv_async_t> mailbox_;
  bool running_ = false;

  std::mutex mutex_;  // guards the two below
  std::vector<std::function<void()>> letters_;
  Phase phase_ = Phase::idle;
};

}  // namespace sluice::event
