// What OpenSSL reads from and writes to: a non-blocking socket. Unlike OpenSSL's own it remembers that a read took all there
// was, which spares the system call that would only say so, and why the socket failed; and it can hold back what is written, so
// that pieces of a handshake leave in one call.
#pragma once

#include <string>

#include "tls/openssl.h"

namespace sluice::tls {

struct SocketState {
  int fd = -1;
  bool drained = false;  // since this was last reset: there is nothing to read
  bool ended = false;    // the peer sent its FIN
  int error = 0;         // errno of the last failure
  bool holds = false;    // what is written now waits for send_held(), or for what is written once this is false
  std::string held;
};

/// False: the socket is full, or it failed (`error`); something is still held.
[[nodiscard]] bool send_held(SocketState& state);

/// `state` outlives the BIO. Null if memory is short.
[[nodiscard]] BioPtr make_socket_bio(SocketState& state);

}  // namespace sluice::tls
