// Listener: one listening socket of one loop. Each worker has its own (SO_REUSEPORT), so the kernel spreads
// connections and no lock is shared. Accepts up to kAcceptsPerTurn per wake-up. When the process has run out
// of descriptors it gives up its reserve descriptor to accept and close the waiting connection (the client
// gets a prompt end, not a hang), counts it, and pauses accepting for kPauseAfterExhaustion, so that it never
// spins.
#pragma once

#include <memory>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "event/loop.h"
#include "event/timer_wheel.h"

namespace sluice::event {

class Listener final : private Poller::Watcher {
 public:
  static constexpr int kAcceptsPerTurn = 64;
  static constexpr Millis kPauseAfterExhaustion{100};

  class Handler {
   public:
    /// A new connection: non-blocking, close-on-exec; the handler owns the descriptor from here.
    virtual void on_accept(int fd, const SocketAddress& peer) = 0;
    /// accept failed for want of descriptors or memory; one connection was closed unanswered.
    virtual void on_accept_exhausted() = 0;

   protected:
    ~Handler() = default;
  };

  /// Binds and listens. A stale unix socket file is replaced. On failure `detail` of the log message says
  /// errno's text.
  static Result<std::unique_ptr<Listener>> open(Loop& loop, const SocketAddress& address, Handler& handler,
                                                bool reuse_port = true, int backlog = 4096);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// The address actually bound (port 0 resolved).
  [[nodiscard]] const SocketAddress& address() const { return address_; }

 private:
  Listener(Loop& loop, Handler& handler) : loop_(loop), handler_(handler), resume_(loop.timers(), &resume, this) {}
  Result<void> bind_and_listen(const SocketAddress& address, bool reuse_port, int backlog);
  [[nodiscard]] bool bind_socket(const SocketAddress& address);
  void on_ready(uint32_t events) override;
  void on_exhausted(int error);
  static void resume(void* self);

  Loop& loop_;
  Handler& handler_;
  Timer resume_;  // set while accepting is paused
  SocketAddress address_;
  UniqueFd fd_;
  bool watching_ = false;
  UniqueFd reserve_fd_;  // given up for a moment when there is no other descriptor left
  uint64_t inode_ = 0;   // of the unix socket file, so that only our own is removed
};

}  // namespace sluice::event
