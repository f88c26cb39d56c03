#include "event/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace sluice::event {

namespace {
int open_reserve() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const SocketAddress& address, Handler& handler,
                                                 bool reuse_port, int backlog) {
  auto socket = ListenSocket::open(address, reuse_port, backlog);
  if (!socket) return socket.error();
  return watch(loop, std::move(*socket), handler);
}

Result<std::unique_ptr<Listener>> Listener::watch(Loop& loop, std::shared_ptr<ListenSocket> socket, Handler& handler) {
  std::unique_ptr<Listener> listener(new Listener(loop, std::move(socket), handler));
  listener->reserve_fd_.reset(open_reserve());
  listener->watching_ = listener->reserve_fd_ && loop.poller().add(listener->socket_->fd(), EPOLLIN, *listener);
  if (listener->watching_) return listener;
  const int error = errno;
  log::error("cannot listen on {}: {}", listener->address().to_string(), strerrordesc_np(error));
  return Error{Reason::out_of_descriptors, strerrordesc_np(error)};
}

Listener::~Listener() {
  if (watching_) loop_.poller().remove(socket_->fd(), *this);
}

void Listener::on_ready(uint32_t) {
  const Poller& poller = loop_.poller();
  for (int i = 0; i < kAcceptsPerTurn && poller.is_current(this); ++i) {
    if (!accept_one()) return;
  }
}

void Listener::accept_pending() {
  for (int i = 0; i < ListenSocket::kBacklog && accept_one(); ++i) {
  }
}

// False if nobody waits, or nobody can be let in.
bool Listener::accept_one() {
  sockaddr_storage peer;
  socklen_t length = sizeof peer;
  const int fd = ::accept4(socket_->fd(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    handler_.on_accept(fd, SocketAddress::from(reinterpret_cast<sockaddr*>(&peer), length));
    return true;
  }
  const int error = errno;
  if (error == EAGAIN || error == EWOULDBLOCK) return false;
  if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
    on_exhausted(error);
    return false;
  }
  // Everything else (ECONNABORTED, and the pending network errors of accept(2)) is the end of that one connection.
  return true;
}

// Accepting stops for a while: the connection that waits would wake the loop at once, again and again.
void Listener::on_exhausted(int error) {
  if ((error == EMFILE || error == ENFILE) && reserve_fd_) {
    reserve_fd_.reset();
    const int fd = ::accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    reserve_fd_.reset(open_reserve());
  }
  loop_.poller().change(socket_->fd(), 0, *this);
  resume_.set(loop_.now() + kPauseAfterExhaustion);
  handler_.on_accept_exhausted();
}

void Listener::resume(void* self) {
  auto* listener = static_cast<Listener*>(self);
  if (!listener->reserve_fd_) listener->reserve_fd_.reset(open_reserve());
  listener->loop_.poller().change(listener->socket_->fd(), EPOLLIN, *listener);
}

}  // namespace sluice::event
