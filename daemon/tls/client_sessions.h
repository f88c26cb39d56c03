// ClientSessions: the newest sessions that one server has offered us, to be taken up again instead of a whole handshake (RFC 8446
// §2.2, RFC 5077). They are copies: OpenSSL does not take up again what belongs to a connection that was cut, which is how many
// servers end theirs (RFC 5246 §7.2.1 allows it). Owned by whoever connects to that server again and again; all its connections are of one context and one
// name, and are gone before it. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tls/openssl.h"

namespace sluice::tls {

using SessionPtr = std::unique_ptr<SSL_SESSION, FreeBy<SSL_SESSION_free>>;

class ClientSessions {
 public:
  static constexpr size_t kMost = 4;  // a session holds the server's certificates: some kilobytes
  /// Whoever takes up a session is not verified again, and a session taken up brings the next one: so there is an end to it.
  static constexpr int64_t kLongestSeconds = 24 * 3600;

  /// The newest at `now`, seconds since the epoch; nullptr if there is none, or if the server's certificate is over. One of TLS 1.3 is given away once, so that nobody on the way can tell by it that two
  /// connections are of one client (RFC 8446 §C.4).
  [[nodiscard]] SessionPtr take(int64_t now);
  /// The oldest makes room. `verified`: it is of a whole handshake, which was now.
  void put(const SSL_SESSION& session, bool verified, int64_t now);
  /// The server may have forgotten how to take them up.
  void clear();
  [[nodiscard]] size_t size() const { return size_; }

 private:
  std::array<SessionPtr, kMost> sessions_;  // the oldest first
  size_t size_ = 0;
  int64_t verified_at_ = 0;
};

}  // namespace sluice::tls
