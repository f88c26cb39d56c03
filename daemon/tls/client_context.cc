#include "tls/client_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/clock.h"
#include "tls/authorities.h"
#include "tls/channel.h"

namespace sluice::tls {

namespace {

using Part = Failure::Part;

bool choose_authorities(SSL_CTX* context, const std::string& pem, std::string& why) {
  if (pem.empty()) {
    trust_system(context);
    return true;
  }
  const std::vector<CertificatePtr> authorities = read_certificates(pem, why);
  trust(context, authorities);
  return !authorities.empty();
}

bool use_certificate(SSL_CTX* context, const std::string& pem, std::string& why) {
  const std::vector<CertificatePtr> certificates = read_certificates(pem, why);
  if (certificates.empty()) return false;
  bool good = SSL_CTX_use_certificate(context, certificates.front().get()) == 1;
  for (size_t i = 1; i < certificates.size(); ++i) {
    good = good && SSL_CTX_add1_chain_cert(context, certificates[i].get()) == 1;
  }
  if (!good) why = last_error();
  return good;
}

bool use_key(SSL_CTX* context, const std::string& pem, std::string& why) {
  const KeyPtr key = read_key(pem, why);
  if (key == nullptr) return false;
  if (SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1) return true;
  why = "the key does not belong to the certificate";
  return false;
}

void offer(SSL_CTX* context, const std::vector<std::string>& protocols) {
  if (protocols.empty()) return;
  std::string list;  // RFC 7301 §3.1
  for (const std::string& each : protocols) list += static_cast<char>(each.size()) + each;
  SL_ASSERT(SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(list.data()),
                                    static_cast<unsigned>(list.size())) == 0);
}

int64_t wall_seconds() { return wall_now().count() / 1'000'000; }

// The place of a connection's ClientSessions; made once.
int sessions_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// The server offers a session.
int on_new_session(SSL* ssl, SSL_SESSION* session) {
  auto* sessions = static_cast<ClientSessions*>(SSL_get_ex_data(ssl, sessions_index()));
  if (sessions != nullptr) sessions->put(*session, SSL_session_reused(ssl) == 0, wall_seconds());
  return 0;
}

bool is_ip(const std::string& name) {
  unsigned char ignored[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, name.c_str(), ignored) == 1 || ::inet_pton(AF_INET6, name.c_str(), ignored) == 1;
}

}  // namespace

std::shared_ptr<const ClientContext> ClientContext::make(const Options& options, Failure& failure) {
  ERR_clear_error();
  SslContextPtr made(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = made.get();
  SL_ASSERT(context != nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, on_new_session);
  offer(context, options.alpn);
  const bool identified = !options.certificate_pem.empty();
  bool usable = true;
  const auto check = [&](Part part, bool good) {
    if (!good && usable) failure.part = part;
    usable = usable && good;
  };
  check(Part::ca, choose_authorities(context, options.ca_pem, failure.why));
  if (usable && identified) check(Part::certificate, use_certificate(context, options.certificate_pem, failure.why));
  if (usable && identified) check(Part::key, use_key(context, options.key_pem, failure.why));
  ERR_clear_error();
  if (!usable) return nullptr;
  return std::shared_ptr<const ClientContext>(new ClientContext(std::move(made)));
}

std::string ClientContext::system_ca_file() {
  const char* chosen = std::getenv(X509_get_default_cert_file_env());
  return chosen != nullptr ? chosen : X509_get_default_cert_file();
}

std::unique_ptr<event::Transport> ClientContext::connect(int fd, const std::string& name,
                                                         ClientSessions* sessions) const {
  SslPtr ssl(SSL_new(context_.get()));
  SL_ASSERT(ssl != nullptr);
  SSL_set_connect_state(ssl.get());
  SL_ASSERT(!name.empty());  // to OpenSSL, that is any name
  if (is_ip(name)) {
    SL_ASSERT(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str()) == 1);
  } else {
    // The dot at the end of a name for DNS is none of the name (RFC 6066 §3).
    const std::string host = name.substr(0, name.size() - (name.size() > 1 && name.ends_with('.') ? 1 : 0));
    SL_ASSERT(SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1);
    // What a certificate is for stands in its subjectAltName, and nowhere else (RFC 9525 §2).
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    SL_ASSERT(SSL_set1_host(ssl.get(), host.c_str()) == 1);
  }
  if (sessions != nullptr) {
    SSL_set_ex_data(ssl.get(), sessions_index(), sessions);
    if (const SessionPtr session = sessions->take(wall_seconds())) SSL_set_session(ssl.get(), session.get());
  }
  return std::make_unique<Channel>(std::move(ssl), fd, event::Transport::Need::writable);
}

}  // namespace sluice::tls
