#include "tls/client_sessions.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace sluice::tls {

namespace {

bool has_ended(SSL_SESSION* session, int64_t now) {
  const X509* server = SSL_SESSION_get0_peer(session);
  time_t at = now;
  return server != nullptr && X509_cmp_time(X509_get0_notAfter(server), &at) < 0;
}

}  // namespace

SessionPtr ClientSessions::take(int64_t now) {
  if (size_ == 0) return nullptr;
  SessionPtr& newest = sessions_[size_ - 1];
  if (now - verified_at_ >= kLongestSeconds || has_ended(newest.get(), now)) {
    clear();
    return nullptr;
  }
  if (SSL_SESSION_get_protocol_version(newest.get()) >= TLS1_3_VERSION) {
    --size_;
    return std::move(newest);
  }
  return SessionPtr(SSL_SESSION_dup(newest.get()));
}

void ClientSessions::put(const SSL_SESSION& session, bool verified, int64_t now) {
  if (verified) verified_at_ = now;
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
