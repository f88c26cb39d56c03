#include "event/stream.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

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

void Stream::secure(std::unique_ptr<Transport> transport) {
  SL_ASSERT(watching_ && !connecting_ && transport_ == nullptr);
  transport_ = std::move(transport);
  transport_->armed_ = (wants_read_ ? EPOLLIN : 0u) | (wants_write_ ? EPOLLOUT : 0u);
  update_events();
}

Result<void> Stream::outcome() const {
  if (transport_ != nullptr) {
    if (transport_->established_) return {};
    return Error{Reason::tls_handshake_failed, transport_->failure()};
  }
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error == 0) return {};
  return Error{Reason::connect_failed, strerrordesc_np(error)};
}

// What came before an error must not be lost with it: a server may answer early and reset. So a stream that
// reads finds the error by reading, after the last byte; on_error() is for those that do not. The handler may
// close or destroy this stream in each of its functions.
void Stream::on_ready(uint32_t events) {
  if (transport_ != nullptr) [[unlikely]]
    return on_transport_ready(events);
  const Poller& poller = loop_->poller();
  if ((events & EPOLLERR) != 0 && (connecting_ || !wants_read_)) return fail();
  const bool failed = (events & EPOLLERR) != 0;
  // Writing comes first: it is the outcome of connect(), and it makes room for what reading brings.
  if ((events & (EPOLLOUT | EPOLLHUP)) != 0 && wants_write_ && !failed) {
    connecting_ = false;
    handler_->on_writable();
    if (!poller.is_current(this) || transport_ != nullptr) return;  // secure(): the rest is the handshake's
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && wants_read_) handler_->on_readable();
}

void Stream::on_transport_ready(uint32_t events) {
  using Need = Transport::Need;
  if (!transport_->established_) return on_handshake_ready();
  const Poller& poller = loop_->poller();
  const bool failed = (events & EPOLLERR) != 0;
  if (failed && !wants_read_) return fail();
  const bool in = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
  const bool out = (events & (EPOLLOUT | EPOLLHUP)) != 0;
  if (wants_write_ && !failed && (transport_->write_needs_ == Need::writable ? out : in)) {
    handler_->on_writable();
    if (!poller.is_current(this)) return;
  }
  const bool can_read = transport_->read_needs_ == Need::writable ? out : in;
  if (!wants_read_ || !(can_read || transport_->has_pending())) return;
  handler_->on_readable();
  const bool untouched = poller.is_current(this) && wants_read_ && transport_->has_pending();
  if (untouched) loop_->poller().again(*this);  // a handler need not read at once
}

// As connect(): who hears that it is done wants to read and to write.
void Stream::on_handshake_ready() {
  const IoStatus status = transport_->handshake().status;
  if (status == IoStatus::again) return update_events();
  if (status != IoStatus::ok) return fail();
  transport_->established_ = true;
  wants_read_ = wants_write_ = true;
  if (transport_->has_pending()) loop_->poller().again(*this);
  const Poller& poller = loop_->poller();
  handler_->on_writable();
  if (poller.is_current(this)) update_events();  // only now: most handlers do not want to write any more
}

void Stream::fail() {
  wants_read_ = wants_write_ = connecting_ = false;
  watching_ = false;
  loop_->poller().remove(fd_, *this);
  handler_->on_error();
}

IoResult Stream::read(std::span<char> into) {
  if (transport_ != nullptr) [[unlikely]]
    return read_transport(into);
  return result_of(::recv(fd_, into.data(), into.size(), 0));
}

IoResult Stream::peek(std::span<char> into) {
  SL_ASSERT(transport_ == nullptr);
  return result_of(::recv(fd_, into.data(), into.size(), MSG_PEEK));
}

// The socket says nothing of bytes that the Transport holds: those are told of in the next turn.
IoResult Stream::read_transport(std::span<char> into) {
  const IoResult result = transport_->read(into);
  if (!watching_) return result;
  if (transport_->has_pending()) loop_->poller().again(*this);
  update_events();
  return result;
}

IoResult Stream::write_transport(std::span<const iovec> pieces) {
  const IoResult result = transport_->write(pieces);
  if (watching_) update_events();
  return result;
}

IoResult Stream::write(std::span<const iovec> pieces) {
  if (transport_ != nullptr) [[unlikely]]
    return write_transport(pieces);
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
  if (transport_ != nullptr) [[unlikely]] {
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    return write_transport({&piece, 1});
  }
  return result_of_send(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

IoResult Stream::write_file(int file_fd, uint64_t offset, size_t bytes) {
  if (transport_ != nullptr) [[unlikely]] {
    char block[16 * 1024];
    const ssize_t got = ::pread(file_fd, block, std::min(bytes, sizeof block), static_cast<off_t>(offset));
    if (got <= 0) return result_of(got);
    return write(std::string_view(block, static_cast<size_t>(got)));
  }
  auto position = static_cast<off_t>(offset);
  return result_of(::sendfile(fd_, file_fd, &position, bytes));
}

IoResult Stream::splice_to_pipe(int pipe_fd, size_t bytes) {
  SL_ASSERT(can_splice());
  return result_of(::splice(fd_, nullptr, pipe_fd, nullptr, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

IoResult Stream::splice_from_pipe(int pipe_fd, size_t bytes, bool more) {
  SL_ASSERT(can_splice());
  const unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0u);
  return result_of(::splice(pipe_fd, nullptr, fd_, nullptr, bytes, flags));
}

size_t Stream::unacknowledged() const {
  int bytes = 0;
  return ::ioctl(fd_, SIOCOUTQ, &bytes) == 0 ? static_cast<size_t>(bytes) : 0;
}

SocketAddress Stream::local_address() const {
  sockaddr_storage address;
  socklen_t length = sizeof address;
  if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&address), length);
}

void Stream::want_read(bool want) {
  if (want == wants_read_ || !watching_) return;
  wants_read_ = want;
  if (transport_ != nullptr && want && transport_->has_pending()) loop_->poller().again(*this);
  update_events();
}

void Stream::want_write(bool want) {
  if (want == wants_write_ || !watching_) return;
  wants_write_ = want;
  update_events();
}

uint32_t Stream::transport_events() const {
  const auto event_of = [](Transport::Need need) { return need == Transport::Need::readable ? EPOLLIN : EPOLLOUT; };
  if (!transport_->established_) return event_of(transport_->handshake_needs_);
  return (wants_read_ ? event_of(transport_->read_needs_) : 0u) |
         (wants_write_ ? event_of(transport_->write_needs_) : 0u);
}

void Stream::update_events() {
  uint32_t events = (wants_read_ ? EPOLLIN : 0u) | (wants_write_ ? EPOLLOUT : 0u);
  if (transport_ != nullptr) [[unlikely]] {
    events = transport_events();
    if (std::exchange(transport_->armed_, events) == events) return;
  }
  loop_->poller().change(fd_, events, *this);
}

void Stream::shutdown_write() {
  if (!is_open()) return;
  if (transport_ != nullptr) transport_->end_writing();
  ::shutdown(fd_, SHUT_WR);
}

void Stream::close() {
  if (!is_open()) return;
  if (transport_ != nullptr) [[unlikely]] {
    transport_->end_writing();
    transport_.reset();
  }
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
  transport_.reset();  // which must not take leave
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

}  // namespace sluice::event
