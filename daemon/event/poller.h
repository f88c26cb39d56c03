// Poller: which descriptors of one loop are ready. A thin layer over epoll, level-triggered. Sockets are
// watched by this and not by uv_poll_t, which spends five system calls more on each connection (it tries the
// descriptor out, sets it non-blocking again, and removes it before each change) and 176 bytes of memory; see
// DECISIONS. Owned by its Loop, used on its thread.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <vector>

namespace sluice::event {

class Poller {
 public:
  static constexpr int kEventsPerWait = 256;

  class Watcher {
   public:
    /// `events` are epoll's bits. The watcher may be removed or destroyed inside.
    virtual void on_ready(uint32_t events) = 0;

   protected:
    ~Watcher() = default;
  };

  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  /// `events`: EPOLLIN, EPOLLOUT, both, or 0 (then errors and hang-ups alone are told, and once). False, with
  /// errno, if the kernel cannot watch `fd`.
  [[nodiscard]] bool add(int fd, uint32_t events, Watcher& watcher);
  void change(int fd, uint32_t events, Watcher& watcher);
  /// The watcher is called with EPOLLIN in the next turn, whatever the kernel says: it has something to read
  /// that is not in the socket any more.
  void again(Watcher& watcher);
  /// Before the descriptor is closed. An event of this turn that `watcher` has not seen yet is dropped.
  void remove(int fd, const Watcher& watcher);

  /// Waits for at most `timeout_ms` (-1: for good), and not at all after again(); then dispatch() makes the calls.
  void wait(int timeout_ms);
  void dispatch();
  /// Inside on_ready(): true until the watcher that was called is removed.
  [[nodiscard]] bool is_current(const Watcher* watcher) const { return current_ == watcher; }

 private:
  void dispatch_again();

  int epoll_fd_;
  int watched_ = 0;
  int next_ = 0;  // of ready_: the first not yet dispatched
  int count_ = 0;
  const Watcher* current_ = nullptr;
  std::vector<Watcher*> again_;          // told of in the next turn
  std::vector<Watcher*> again_calling_;  // in this one
  std::array<epoll_event, kEventsPerWait> ready_;
};

}  // namespace sluice::event
