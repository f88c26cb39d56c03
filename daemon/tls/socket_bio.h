// What OpenSSL reads from and writes to: a non-blocking socket. Unlike OpenSSL's own it remembers that a read took all there
// was, which spares the system call that would only say so, and why the socket failed.
#pragma once

#include "tls/openssl.h"

namespace sluice::tls {

struct SocketState {
  int fd = -1;
  bool drained = false;  // since this was last reset: there is nothing to read
  bool ended = false;    // the peer sent its FIN
  int error = 0;         // errno of the last failure
};

/// `state` outlives the BIO. Null if memory is short.
[[nodiscard]] BioPtr make_socket_bio(SocketState& state);

}  // namespace sluice::tls
