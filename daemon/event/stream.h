// Stream: one connected, non-blocking socket: readiness from the loop's Poller, data through our own
// recv/sendmsg. Owned by a Downstream or an upstream Connection, on its worker's thread. Reading stays armed
// from open() on; the mask changes only under back-pressure. After close() no handler is called again;
// close() may be called inside a handler.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/address.h"
#include "base/result.h"
#include "event/loop.h"

namespace sluice::event {

enum class IoStatus : uint8_t {
  ok,     // `bytes` > 0 were moved
  again,  // the socket is not ready; wait for the handler's call
  eof,    // read only: the peer sent its FIN
  error,  // reset or another error; the stream is of no more use
};
struct IoResult {
  IoStatus status;
  size_t bytes = 0;
};

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
  /// Starts a connection; the outcome comes as on_writable() then connect_error() (0 or errno), or
  /// on_error(). An immediate failure is an Error (connect_failed, out_of_descriptors).
  [[nodiscard]] Result<void> connect(Loop& loop, const SocketAddress& address, Handler& handler);
  /// After the first on_writable(): 0 if connected, else errno. Asks the socket (getsockopt SO_ERROR).
  [[nodiscard]] int connect_error() const;

  IoResult read(std::span<char> into);
  /// Gathers up to 16 pieces; MSG_NOSIGNAL. May write less than all.
  IoResult write(std::span<const iovec> pieces);
  IoResult write(std::string_view bytes);
  /// sendfile(2) from `file_fd` at `offset`, at most `bytes`.
  IoResult write_file(int file_fd, uint64_t offset, size_t bytes);
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
  /// Stops polling and closes the descriptor. Idempotent.
  void close();
  /// close(), and from now on write() takes everything and drops it: for one whose peer is gone and who goes on all the same.
  void discard_writes();
  /// close() with RST, so that the peer sees a failure and not an end (truncated bodies).
  void close_with_reset();

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  void on_ready(uint32_t events) override;
  [[nodiscard]] bool watch(Loop& loop, int fd, uint32_t events, Handler& handler);
  void update_events();
  void fail();

  Loop* loop_ = nullptr;
  Handler* handler_ = nullptr;
  int fd_ = -1;
  bool watching_ = false;
  bool connecting_ = false;
  bool wants_read_ = false;
  bool wants_write_ = false;
  bool discards_ = false;
};

}  // namespace sluice::event
