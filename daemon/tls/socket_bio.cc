#include "tls/socket_bio.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

namespace sluice::tls {

namespace {

SocketState& state_of(BIO* bio) { return *static_cast<SocketState*>(BIO_get_data(bio)); }

bool would_block(int error) { return error == EAGAIN || error == EINTR; }

int read_socket(BIO* bio, char* into, size_t bytes, size_t* got) {
  SocketState& state = state_of(bio);
  BIO_clear_retry_flags(bio);
  *got = 0;
  if (state.drained) return BIO_set_retry_read(bio), -1;
  const ssize_t count = ::recv(state.fd, into, bytes, 0);
  if (count > 0) {
    *got = static_cast<size_t>(count);
    state.drained = *got < bytes;
    return 1;
  }
  if (count == 0) return state.ended = true, 0;
  if (would_block(errno)) {
    state.drained = true;
    BIO_set_retry_read(bio);
  } else {
    state.error = errno;
  }
  return -1;
}

ssize_t send_pieces(SocketState& state, const char* more, size_t bytes) {
  if (state.held.empty()) return ::send(state.fd, more, bytes, MSG_NOSIGNAL);
  iovec pieces[] = {{state.held.data(), state.held.size()}, {const_cast<char*>(more), bytes}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  return ::sendmsg(state.fd, &message, MSG_NOSIGNAL);
}

// What is held, then `more`; how much of that was sent, or -1.
ssize_t send_after_held(SocketState& state, const char* more, size_t bytes) {
  const ssize_t count = send_pieces(state, more, bytes);
  if (count < 0) {
    if (!would_block(errno)) state.error = errno;
    return -1;
  }
  const size_t held = state.held.size();
  if (static_cast<size_t>(count) < held) {
    state.held.erase(0, static_cast<size_t>(count));
    return -1;
  }
  if (held > 0) std::exchange(state.held, {});  // with its memory
  const size_t sent = static_cast<size_t>(count) - held;
  return sent > 0 || bytes == 0 ? static_cast<ssize_t>(sent) : -1;
}

int write_socket(BIO* bio, const char* from, size_t bytes, size_t* sent) {
  SocketState& state = state_of(bio);
  BIO_clear_retry_flags(bio);
  *sent = 0;
  if (state.holds) {
    state.held.append(from, bytes);
    *sent = bytes;
    return 1;
  }
  const ssize_t count = send_after_held(state, from, bytes);
  if (count >= 0) {
    *sent = static_cast<size_t>(count);
    return 1;
  }
  if (state.error == 0) BIO_set_retry_write(bio);
  return -1;
}

long control(BIO* bio, int command, long, void*) {
  switch (command) {
    case BIO_CTRL_EOF: return state_of(bio).ended ? 1 : 0;
    case BIO_CTRL_FLUSH: return 1;
    default: return 0;
  }
}

// Made once, and kept: connections of every thread use it.
const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice socket");
    BIO_meth_set_read_ex(made, read_socket);
    BIO_meth_set_write_ex(made, write_socket);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

}  // namespace

bool send_held(SocketState& state) { return state.held.empty() || send_after_held(state, nullptr, 0) >= 0; }

BioPtr make_socket_bio(SocketState& state) {
  BioPtr bio(BIO_new(socket_method()));
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio.get(), &state);
  BIO_set_init(bio.get(), 1);
  return bio;
}

}  // namespace sluice::tls
