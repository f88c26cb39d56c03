// Listener: watches a listening socket on one loop. Each worker has sockets of its own (SO_REUSEPORT), so the kernel
// spreads connections and no lock is shared; a socket that there is only one of is watched by all. Accepts up to kAcceptsPerTurn per wake-up. When the process has run out
// of descriptors it gives up its reserve descriptor to accept and close the waiting connection (the client
// gets a prompt end, not a hang), counts it, and pauses accepting for kPauseAfterExhaustion, so that it never
// spins.
#pragma once

#include <memory>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "event/listen_socket.h"
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

  /// ListenSocket::open() and watch().
  static Result<std::unique_ptr<Listener>> open(Loop& loop, const SocketAddress& address, Handler& handler,
                                                bool reuse_port = true, int backlog = ListenSocket::kBacklog);
  /// On the loop's thread, or before it runs. Fails for want of descriptors only.
  static Result<std::unique_ptr<Listener>> watch(Loop& loop, std::shared_ptr<ListenSocket> socket, Handler& handler);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Lets in whoever waits already: for the moment before the socket is closed for good.
  void accept_pending();

  [[nodiscard]] const SocketAddress& address() const { return socket_->address(); }
  [[nodiscard]] const std::shared_ptr<ListenSocket>& socket() const { return socket_; }

 private:
  Listener(Loop& loop, std::shared_ptr<ListenSocket> socket, Handler& handler)
      : loop_(loop), handler_(handler), socket_(std::move(socket)), resume_(loop.timers(), &resume, this) {}
  void on_ready(uint32_t events) override;
  [[nodiscard]] bool accept_one();
  void on_exhausted(int error);
  static void resume(void* self);

  Loop& loop_;
  Handler& handler_;
  std::shared_ptr<ListenSocket> socket_;
  Timer resume_;  // set while accepting is paused
  bool watching_ = false;
  UniqueFd reserve_fd_;  // given up for a moment when there is no other descriptor left
};

}  // namespace sluice::event
