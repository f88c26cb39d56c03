// ListenSocket: a bound, listening socket, apart from whoever watches it (Listener). It may be opened on one thread and
// watched on another, watched by several, inherited from the service manager (sd_listen_fds(3)), or passed on to the
// process that replaces this one. Immutable after open(); the last owner closes it and removes a unix socket's file.
#pragma once

#include <atomic>
#include <memory>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace sluice::event {

class ListenSocket {
 public:
  static constexpr int kBacklog = 4096;

  /// Binds and listens. `reuse_port`: further sockets may share the address. A stale unix socket file is replaced. On
  /// failure the error's detail is errno's text, and the application log has the sentence.
  static Result<std::shared_ptr<ListenSocket>> open(const SocketAddress& address, bool reuse_port = true,
                                                    int backlog = kBacklog);
  /// Takes over a descriptor that listens already; an error if it does not.
  static Result<std::shared_ptr<ListenSocket>> inherit(UniqueFd fd);

  ~ListenSocket();
  ListenSocket(const ListenSocket&) = delete;
  ListenSocket& operator=(const ListenSocket&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The address actually bound (port 0 resolved).
  [[nodiscard]] const SocketAddress& address() const { return address_; }
  /// Another process has it too: a unix socket's file stays when this one lets go. Any thread.
  void keep_file() { keep_file_.store(true, std::memory_order_relaxed); }

 private:
  explicit ListenSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> bind_and_listen(const SocketAddress& address, bool reuse_port, int backlog);
  [[nodiscard]] bool bind_to(const SocketAddress& address) const;
  void read_address();

  UniqueFd fd_;
  SocketAddress address_;
  uint64_t inode_ = 0;  // of the unix socket's file, so that only our own is removed
  std::atomic<bool> keep_file_{false};
};

}  // namespace sluice::event
