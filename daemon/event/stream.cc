#include "event/stream.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::event {

namespace {
constexpr size_t kMaxPieces = 16;

IoResult result_of(ssize_t moved) {
  if (moved > 0) return {IoStatus::ok, static_cast<size_t>(moved)};
  if (moved == 0) return {IoStatus::eof};
  return {errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? IoStatus::again : IoStatus::error};
}

Error start_failed(int error) {
  const bool exhausted = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
  return {exhausted ? Reason::out_of_descriptors : Reason::connect_failed, strerrordesc_np(error)};
}
}  // namespace

bool Stream::open(Loop& loop, int fd, Handler& handler) {
  SL_ASSERT(!is_open() && fd >= 0);
  fd_ = fd;
  wants_read_ = true;
  wants_write_ = false;
  if (watch(loop, handler)) return true;
  close();
  return false;
}

Result<void> Stream::connect(Loop& loop, const SocketAddress& address, Handler& handler) {
  SL_ASSERT(!is_open());
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return start_failed(errno);
  fd_ = fd;
  if (address.family() != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(fd, address.get(), address.length()) != 0 && errno != EINPROGRESS) {
    const Error error = start_failed(errno);
    close();
    return error;
  }
  wants_read_ = wants_write_ = true;
  if (!watch(loop, handler)) {
    close();
    return Error{Reason::out_of_descriptors, "the loop cannot watch the socket"};
  }
  return {};
}

bool Stream::watch(Loop& loop, Handler& handler) {
  auto* handle = new uv_poll_t;
  if (uv_poll_init(loop.uv(), handle, fd_) != 0) {
    delete handle;
    return false;
  }
  handle->data = this;
  poll_.reset(handle);
  loop_ = &loop;
  handler_ = &handler;
  update_poll();
  return true;
}

int Stream::connect_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

// The handler may close or destroy this stream in each of its functions; the handle outlives both and then has no data.
void Stream::on_poll(uv_poll_t* handle, int status, int events) {
  auto* stream = static_cast<Stream*>(handle->data);
  if (stream == nullptr) return;
  stream->loop_->enter_turn();
  if (status < 0) {
    stream->wants_read_ = stream->wants_write_ = false;
    stream->handler_->on_error();
    return;
  }
  // Writing comes first: it is the outcome of connect(), and it makes room for what reading brings.
  if ((events & UV_WRITABLE) != 0 && stream->wants_write_) {
    stream->handler_->on_writable();
    if (handle->data == nullptr) return;
  }
  if ((events & (UV_READABLE | UV_DISCONNECT)) != 0 && stream->wants_read_) stream->handler_->on_readable();
}

IoResult Stream::read(std::span<char> into) {
  return result_of(::recv(fd_, into.data(), into.size(), 0));
}

IoResult Stream::write(std::span<const iovec> pieces) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min(pieces.size(), kMaxPieces);
  const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
  if (sent == 0) return {IoStatus::ok};
  return result_of(sent);
}

IoResult Stream::write(std::string_view bytes) {
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == 0) return {IoStatus::ok};
  return result_of(sent);
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
  if (want == wants_read_ || !is_open()) return;
  wants_read_ = want;
  update_poll();
}

void Stream::want_write(bool want) {
  if (want == wants_write_ || !is_open()) return;
  wants_write_ = want;
  update_poll();
}

void Stream::update_poll() {
  const int mask = (wants_read_ ? UV_READABLE : 0) | (wants_write_ ? UV_WRITABLE : 0);
  uv_poll_start(poll_.get(), mask, &Stream::on_poll);
}

void Stream::shutdown_write() {
  if (is_open()) ::shutdown(fd_, SHUT_WR);
}

void Stream::close() {
  if (!is_open()) return;
  poll_.reset();  // stops polling at once; only then may the number be used again
  ::close(fd_);
  fd_ = -1;
  wants_read_ = wants_write_ = false;
}

void Stream::close_with_reset() {
  if (!is_open()) return;
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

}  // namespace sluice::event
