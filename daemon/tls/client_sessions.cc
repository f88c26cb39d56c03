#include "tls/client_sessions.h"

#include <algorithm>
#include <utility>

namespace sluice::tls {

SessionPtr ClientSessions::take() {
  if (size_ == 0) return nullptr;
  SessionPtr& newest = sessions_[size_ - 1];
  if (SSL_SESSION_get_protocol_version(newest.get()) >= TLS1_3_VERSION) {
    --size_;
    return std::move(newest);
  }
  return SessionPtr(SSL_SESSION_dup(newest.get()));
}

void ClientSessions::put(const SSL_SESSION& session) {
  if (SSL_SESSION_is_resumable(&session) != 1) return;
  if (size_ == kMost) {
    std::rotate(sessions_.begin(), sessions_.begin() + 1, sessions_.end());
    --size_;
  }
  sessions_[size_++].reset(SSL_SESSION_dup(&session));
}

void ClientSessions::clear() {
  for (SessionPtr& session : sessions_) session.reset();
  size_ = 0;
}

}  // namespace sluice::tls
