// Stream: one connected, non-blocking socket: readiness from the loop's Poller, data through our own
// recv/sendmsg, or through a Transport (TLS) once secure() was called. Owned by a Downstream or an upstream
// Connection, on its worker's thread. Reading stays armed from open() on; the mask changes only under
// back-pressure. After close() no handler is called again; close() may be called inside a handler.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "event/loop.h"
#include "event/transport.h"

namespace sluice::event {

class Stream final : private Poller::Watcher {
 public:
  /// Calls come on the loop's thread, never from inside a Stream function.
  class Handler {
   public:
    /// Bytes, or the peer's FIN, can be read. Level-triggered: comes again next turn if something is left.
    virtual void on_readable() = 0;
    /// Room to write again, or the outcome of connect(). Only while want_write(true).
    virtual void on_writable() = 0;
    /// The socket failed (reset, refused) while it was connecting or did not want to read; the stream no
    /// longer polls. A stream that wants to read finds a failure by read(), after the last byte that came
    /// before it.
    virtual void on_error() = 0;

   protected:
    ~Handler() = default;
  };

  Stream() = default;
  ~Stream() { close(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Takes over a connected, non-blocking, close-on-exec descriptor and starts reading. TCP_NODELAY is not
  /// set here: an accepted socket inherits it from its Listener, which spares a system call per connection.
  /// False (descriptor closed) if the loop cannot watch it.
  [[nodiscard]] bool open(Loop& loop, int fd, Handler& handler);
  /// Starts a connection; the outcome() comes with on_writable() or on_error(). An immediate failure is an
  /// Error (connect_failed, out_of_descriptors).
  [[nodiscard]] Result<void> connect(Loop& loop, const SocketAddress& address, Handler& handler);
  /// From now on everything goes through `transport`. Its handshake comes first, by itself: until its
  /// outcome() comes, as that of connect(), nothing can be read or written and no other call is made.
  void secure(std::unique_ptr<Transport> transport);
  /// What came of connect() (asks the socket: getsockopt SO_ERROR) or of secure(): connect_failed or
  /// tls_handshake_failed, with the cause as its detail.
  [[nodiscard]] Result<void> outcome() const;
  /// Why the Transport failed, in words; empty if it did not, or if there is none.
  [[nodiscard]] std::string_view failure() const { return transport_ != nullptr ? transport_->failure() : ""; }
  /// nullptr: plain bytes.
  [[nodiscard]] const Transport* transport() const { return transport_.get(); }

  IoResult read(std::span<char> into);
  /// What can be read stays there; only before secure().
  IoResult peek(std::span<char> into);
  /// Gathers up to 16 pieces; MSG_NOSIGNAL. May write less than all. After `again` the next write begins with
  /// the same bytes, and with no fewer of them.
  IoResult write(std::span<const iovec> pieces);
  IoResult write(std::string_view bytes);
  /// sendfile(2) from `file_fd` at `offset`, at most `bytes`; through a Transport by way of user space.
  IoResult write_file(int file_fd, uint64_t offset, size_t bytes);
  /// The kernel can move bytes between the socket and a pipe, which it cannot through a Transport.
  [[nodiscard]] bool can_splice() const { return transport_ == nullptr; }
  /// splice(2) socket -> pipe, and pipe -> socket; non-blocking, SPLICE_F_MOVE. `more` is SPLICE_F_MORE.
  IoResult splice_to_pipe(int pipe_fd, size_t bytes);
  IoResult splice_from_pipe(int pipe_fd, size_t bytes, bool more);

  /// Pauses and resumes on_readable(). Costs epoll_ctl: only under real back-pressure.
  void want_read(bool want);
  void want_write(bool want);
  [[nodiscard]] bool wants_read() const { return wants_read_; }
  [[nodiscard]] bool wants_write() const { return wants_write_; }

  /// Sends FIN after what was written; reading goes on.
  void shutdown_write();
  /// Stops polling and closes the descriptor; a Transport takes leave of its peer first. Idempotent.
  void close();
  /// close(), and from now on write() takes everything and drops it: for one whose peer is gone and who goes on all the same.
  void discard_writes();
  /// close() with RST, so that the peer sees a failure and not an end (truncated bodies).
  void close_with_reset();

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] int fd() const { return fd_; }
  /// Bytes that were written and that the peer's kernel has not acknowledged yet.
  [[nodiscard]] size_t unacknowledged() const;
  /// Our end of it.
  [[nodiscard]] SocketAddress local_address() const;

 private:
  void on_ready(uint32_t events) override;
  void on_transport_ready(uint32_t events);
  void on_handshake_ready();
  IoResult read_transport(std::span<char> into);
  IoResult write_transport(std::span<const iovec> pieces);
  [[nodiscard]] bool watch(Loop& loop, int fd, uint32_t events, Handler& handler);
  [[nodiscard]] uint32_t transport_events() const;
  void update_events();
  void fail();

  Loop* loop_ = nullptr;
  Handler* handler_ = nullptr;
  std::unique_ptr<Transport> transport_;  // nullptr: plain bytes
  int fd_ = -1;
  bool watching_ = false;
  bool connecting_ = false;
  bool wants_read_ = false;
  bool wants_write_ = false;
  bool discards_ = false;
};

}  // namespace sluice::event
