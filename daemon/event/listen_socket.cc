#include "event/listen_socket.h"

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
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && ::connect(probe.get(), address.get(), address.length()) != 0 && errno == ECONNREFUSED;
}

Error listen_failed(const SocketAddress& address, int error) {
  const char* text = strerrordesc_np(error);
  log::error("cannot listen on {}: {}", address.to_string(), text);
  return {error == EMFILE || error == ENFILE ? Reason::out_of_descriptors : Reason::internal_error, text};
}
}  // namespace

Result<std::shared_ptr<ListenSocket>> ListenSocket::open(const SocketAddress& address, bool reuse_port, int backlog) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return listen_failed(address, errno);
  std::shared_ptr<ListenSocket> socket(new ListenSocket(std::move(fd)));
  if (const Result<void> listening = socket->bind_and_listen(address, reuse_port, backlog); !listening) {
    return listening.error();
  }
  return socket;
}

Result<void> ListenSocket::bind_and_listen(const SocketAddress& address, bool reuse_port, int backlog) {
  if (!is_unix(address)) {
    set_option(fd_.get(), SOL_SOCKET, SO_REUSEADDR);
    if (reuse_port) set_option(fd_.get(), SOL_SOCKET, SO_REUSEPORT);
    // Accepted sockets inherit it.
    set_option(fd_.get(), IPPROTO_TCP, TCP_NODELAY);
    if (address.family() == AF_INET6) set_option(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  }
  if (!bind_to(address) || ::listen(fd_.get(), backlog) != 0) return listen_failed(address, errno);
  read_address();
  return {};
}

bool ListenSocket::bind_to(const SocketAddress& address) const {
  if (::bind(fd_.get(), address.get(), address.length()) == 0) return true;
  const int error = errno;
  if (error == EADDRINUSE && is_stale(address) && ::unlink(unix_path(address)) == 0) {
    return ::bind(fd_.get(), address.get(), address.length()) == 0;
  }
  errno = error;
  return false;
}

Result<std::shared_ptr<ListenSocket>> ListenSocket::inherit(UniqueFd fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || listening == 0) {
    return Error{Reason::internal_error, "not a listening socket"};
  }
  std::shared_ptr<ListenSocket> socket(new ListenSocket(std::move(fd)));
  ::fcntl(socket->fd(), F_SETFD, FD_CLOEXEC);
  ::fcntl(socket->fd(), F_SETFL, ::fcntl(socket->fd(), F_GETFL) | O_NONBLOCK);
  socket->read_address();
  if (!is_unix(socket->address_)) set_option(socket->fd(), IPPROTO_TCP, TCP_NODELAY);
  return socket;
}

void ListenSocket::read_address() {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  address_ = SocketAddress::from(reinterpret_cast<sockaddr*>(&bound), length);
  if (is_unix(address_)) inode_ = inode_of(unix_path(address_));
}

ListenSocket::~ListenSocket() {
  if (inode_ == 0 || keep_file_.load(std::memory_order_relaxed)) return;
  if (inode_of(unix_path(address_)) == inode_) ::unlink(unix_path(address_));
}

}  // namespace sluice::event
