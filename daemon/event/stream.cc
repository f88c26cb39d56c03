#include "event/stream.h"

#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::event {

namespace {
constexpr size_t kMaxPieces = 16;

IoResult result_of(ssize_t moved) {
  if (moved > 0) return {IoStatus::ok, static_cast<size_t>(moved)};
  if (moved == 0) return {IoStatus::eof};
  return {errno == EAGAIN || errno == EINTR ? IoStatus::again : IoStatus::error};
}

// Sending nothing is no end of anything.
IoResult result_of_send(ssize_t sent) { return sent == 0 ? IoResult{IoStatus::ok} : result_of(sent); }

Error start_failed(int error) {
  const bool exhausted = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == ENOSPC;
  return {exhausted ? Reason::out_of_descriptors : Reason::connect_failed, strerrordesc_np(error)};
}
}  // namespace

bool Stream::open(Loop& loop, int fd, Handler& handler) {
  SL_ASSERT(!is_open() && fd >= 0);
  if (!watch(loop, fd, EPOLLIN, handler)) {
    ::close(fd);
    return false;
  }
  wants_read_ = true;
  return true;
}

Result<void> Stream::connect(Loop& loop, const SocketAddress& address, Handler& handler) {
  SL_ASSERT(!is_open());
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return start_failed(errno);
  if (address.family() != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  const bool started = ::connect(fd, address.get(), address.length()) == 0 || errno == EINPROGRESS;
  if (!started || !watch(loop, fd, EPOLLIN | EPOLLOUT, handler)) {
    const Error error = start_failed(errno);
    ::close(fd);
    return error;
  }
  wants_read_ = wants_write_ = connecting_ = true;
  return {};
}

bool Stream::watch(Loop& loop, int fd, uint32_t events, Handler& handler) {
  if (!loop.poller().add(fd, events, *this)) return false;
  loop_ = &loop;
  handler_ = &handler;
  fd_ = fd;
  watching_ = true;
  return true;
}

int Stream::connect_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

// What came before an error must not be lost with it: a server may answer early and reset. So a stream that
// reads finds the error by reading, after the last byte; on_error() is for those that do not. The handler may
// close or destroy this stream in each of its functions.
void Stream::on_ready(uint32_t events) {
  const Poller& poller = loop_->poller();
  if ((events & EPOLLERR) != 0 && (connecting_ || !wants_read_)) return fail();
  const bool failed = (events & EPOLLERR) != 0;
  // Writing comes first: it is the outcome of connect(), and it makes room for what reading brings.
  if ((events & (EPOLLOUT | EPOLLHUP)) != 0 && wants_write_ && !failed) {
    connecting_ = false;
    handler_->on_writable();
    if (!poller.is_current(this)) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && wants_read_) handler_->on_readable();
}

void Stream::fail() {
  wants_read_ = wants_write_ = connecting_ = false;
  watching_ = false;
  loop_->poller().remove(fd_, *this);
  handler_->on_error();
}

IoResult Stream::read(std::span<char> into) { return result_of(::recv(fd_, into.data(), into.size(), 0)); }

IoResult Stream::write(std::span<const iovec> pieces) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min(pieces.size(), kMaxPieces);
  const IoResult result = result_of_send(::sendmsg(fd_, &message, MSG_NOSIGNAL));
  if (result.status != IoStatus::error || !discards_) return result;
  size_t dropped = 0;
  for (const iovec& piece : pieces.first(message.msg_iovlen)) dropped += piece.iov_len;
  return {IoStatus::ok, dropped};
}

IoResult Stream::write(std::string_view bytes) {
  return result_of_send(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

IoResult Stream::write_file(int file_fd, uint64_t offset, size_t bytes) {
  auto position = static_cast<off_t>(offset);
  return result_of(::sendfile(fd_, file_fd, &position, bytes));
}

IoResult Stream::splice_to_pipe(int pipe_fd, size_t bytes) {
  return result_of(::splice(fd_, nullptr, pipe_fd, nullptr, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

IoResult Stream::splice_from_pipe(int pipe_fd, size_t bytes, bool more) {
  const unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0u);
  return result_of(::splice(pipe_fd, nullptr, fd_, nullptr, bytes, flags));
}

void Stream::want_read(bool want) {
  if (want == wants_read_ || !watching_) return;
  wants_read_ = want;
  update_events();
}

void Stream::want_write(bool want) {
  if (want == wants_write_ || !watching_) return;
  wants_write_ = want;
  update_events();
}

void Stream::update_events() {
  const uint32_t events = (wants_read_ ? EPOLLIN : 0u) | (wants_write_ ? EPOLLOUT : 0u);
  loop_->poller().change(fd_, events, *this);
}

void Stream::shutdown_write() {
  if (is_open()) ::shutdown(fd_, SHUT_WR);
}

void Stream::close() {
  if (!is_open()) return;
  if (watching_) loop_->poller().remove(fd_, *this);
  ::close(fd_);
  fd_ = -1;
  watching_ = wants_read_ = wants_write_ = connecting_ = false;
}

void Stream::discard_writes() {
  close();
  discards_ = true;
}

void Stream::close_with_reset() {
  if (!is_open()) return;
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

}  // namespace sluice::event
