#include "event/listener.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace sluice::event {

namespace {
void set_option(int fd, int level, int name) {
  const int on = 1;
  ::setsockopt(fd, level, name, &on, sizeof on);
}

int open_reserve() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

const char* unix_path(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_un*>(address.get())->sun_path;
}

bool is_unix(const SocketAddress& address) { return address.family() == AF_UNIX; }

uint64_t inode_of(const char* path) {
  struct stat status {};
  return ::lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

// True if `address` is a socket file at which nobody listens any more.
bool is_stale(const SocketAddress& address) {
  if (!is_unix(address) || inode_of(unix_path(address)) == 0) return false;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const bool refused = ::connect(probe, address.get(), address.length()) != 0 && errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

Error listen_failed(const SocketAddress& address, int error) {
  const char* text = strerrordesc_np(error);
  log::error("cannot listen on {}: {}", address.to_string(), text);
  return {error == EMFILE || error == ENFILE ? Reason::out_of_descriptors : Reason::internal_error, text};
}
}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const SocketAddress& address, Handler& handler,
                                                 bool reuse_port, int backlog) {
  std::unique_ptr<Listener> listener(new Listener(loop, handler));
  if (auto started = listener->bind_and_listen(address, reuse_port, backlog); !started) return started.error();
  return listener;
}

Result<void> Listener::bind_and_listen(const SocketAddress& address, bool reuse_port, int backlog) {
  fd_.reset(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) return listen_failed(address, errno);
  if (!is_unix(address)) {
    set_option(fd_.get(), SOL_SOCKET, SO_REUSEADDR);
    if (reuse_port) set_option(fd_.get(), SOL_SOCKET, SO_REUSEPORT);
    // Accepted sockets inherit it.
    set_option(fd_.get(), IPPROTO_TCP, TCP_NODELAY);
    if (address.family() == AF_INET6) set_option(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  }
  if (!bind_socket(address) || ::listen(fd_.get(), backlog) != 0) return listen_failed(address, errno);
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  address_ = SocketAddress::from(reinterpret_cast<sockaddr*>(&bound), length);
  if (is_unix(address_)) inode_ = inode_of(unix_path(address_));

  reserve_fd_.reset(open_reserve());
  if (!reserve_fd_) return listen_failed(address, errno);
  watching_ = loop_.poller().add(fd_.get(), EPOLLIN, *this);
  if (!watching_) return listen_failed(address, errno);
  return {};
}

bool Listener::bind_socket(const SocketAddress& address) {
  if (::bind(fd_.get(), address.get(), address.length()) == 0) return true;
  const int error = errno;
  if (error == EADDRINUSE && is_stale(address) && ::unlink(unix_path(address)) == 0) {
    return ::bind(fd_.get(), address.get(), address.length()) == 0;
  }
  errno = error;
  return false;
}

Listener::~Listener() {
  if (watching_) loop_.poller().remove(fd_.get(), *this);
  if (inode_ != 0 && inode_of(unix_path(address_)) == inode_) ::unlink(unix_path(address_));
}

void Listener::on_ready(uint32_t) {
  const Poller& poller = loop_.poller();
  for (int i = 0; i < kAcceptsPerTurn && poller.is_current(this); ++i) {
    sockaddr_storage peer;
    socklen_t length = sizeof peer;
    const int fd = ::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      handler_.on_accept(fd, SocketAddress::from(reinterpret_cast<sockaddr*>(&peer), length));
      continue;
    }
    const int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) return;
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) return on_exhausted(error);
    // Everything else (ECONNABORTED, and the pending network errors of accept(2)) is the end of that one
    // connection.
  }
}

// Accepting stops for a while: the connection that waits would wake the loop at once, again and again.
void Listener::on_exhausted(int error) {
  if ((error == EMFILE || error == ENFILE) && reserve_fd_) {
    reserve_fd_.reset();
    const int fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    reserve_fd_.reset(open_reserve());
  }
  loop_.poller().change(fd_.get(), 0, *this);
  resume_.set(loop_.now() + kPauseAfterExhaustion);
  handler_.on_accept_exhausted();
}

void Listener::resume(void* self) {
  auto* listener = static_cast<Listener*>(self);
  if (!listener->reserve_fd_) listener->reserve_fd_.reset(open_reserve());
  listener->loop_.poller().change(listener->fd_.get(), EPOLLIN, *listener);
}

}  // namespace sluice::event
