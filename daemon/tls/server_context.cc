#include "tls/server_context.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/strings.h"
#include "tls/authorities.h"

namespace sluice::tls {

namespace {

using Part = Failure::Part;

// How long a session can be resumed; keys of tickets live as long (ticket_keys.h).
constexpr long kSessionSeconds = std::chrono::seconds(TicketKeys::kRotation).count();
constexpr size_t kMaxName = 255;  // RFC 1035 §2.3.4

std::string wire_form(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) (wire += static_cast<char>(protocol.size())) += protocol;
  return wire;
}

// Of several of one kind of key and for one name the first is meant.
void add_to(ServerContext::Choice& choice, const std::shared_ptr<const Certificate>& certificate) {
  const bool taken = std::any_of(choice.begin(), choice.end(), [&](const std::shared_ptr<const Certificate>& other) {
    return other->key_type() == certificate->key_type();
  });
  if (!taken) choice.push_back(certificate);
}

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return names;
}

ServerContext* self_of(SSL* ssl) { return static_cast<ServerContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl))); }

}  // namespace

ServerContext::ServerContext(Options options) : options_(std::move(options)), alpn_(wire_form(options_.alpn)) {
  SL_ASSERT(!options_.certificates.empty());
  const std::vector<std::string> default_names = sorted(options_.certificates.front()->names());
  for (const auto& certificate : options_.certificates) {
    // The default may be a pair of an RSA and an ECDSA certificate for the same names.
    if (sorted(certificate->names()) == default_names) add_to(default_, certificate);
    for (const std::string& name : certificate->names()) {
      const bool wildcard = name.starts_with("*.");
      add_to((wildcard ? wildcard_ : exact_)[wildcard ? name.substr(2) : name], certificate);
    }
  }
}

std::shared_ptr<const ServerContext> ServerContext::make(Options options, Failure& failure) {
  const std::shared_ptr<ServerContext> made(new ServerContext(std::move(options)));
  const bool usable = made->configure(failure);
  ERR_clear_error();
  return usable ? made : nullptr;
}

bool ServerContext::configure(Failure& failure) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = context_.get();
  SL_ASSERT(context != nullptr && (options_.tls12 || options_.tls13));
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_min_proto_version(context, options_.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(context, options_.tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  // Our order, but for a client that has no AES in hardware, and so has ChaCha20 first.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SL_ASSERT(SSL_CTX_set_ciphersuites(context, kCiphersuites) == 1);
  SL_ASSERT(SSL_CTX_set1_groups_list(context, kGroups) == 1);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_dh_auto(context, 1);
  SSL_CTX_set_cert_cb(context, on_certificate, this);
  // Only if somebody says that the name is good does OpenSSL keep it with a session.
  SSL_CTX_set_tlsext_servername_callback(
      context, +[](SSL*, int*, void*) -> int { return SSL_TLSEXT_ERR_OK; });
  SSL_CTX_set_tlsext_status_cb(context, on_status);
  SSL_CTX_set_tlsext_status_arg(context, this);
  if (!alpn_.empty()) SSL_CTX_set_alpn_select_cb(context, on_alpn, this);
  if (SSL_CTX_set_cipher_list(context, options_.ciphers.c_str()) != 1) {
    failure = {.part = Part::ciphers, .why = "OpenSSL knows none of them"};
    return false;
  }
  // What a client sends in vain, since it is not allowed (any more), is skipped; a little more, for it counts as encrypted.
  SSL_CTX_set_recv_max_early_data(context, 2 * kEarlyBytes);
  use_tickets();
  return options_.client_certificates == ClientCertificates::off || ask_clients(failure);
}

void ServerContext::use_tickets() {
  SSL_CTX* context = context_.get();
  // Sessions are the clients' to keep: nothing here grows with their number.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, kSessionSeconds);
  // What was agreed on elsewhere, or under other rules, is not resumed here.
  const std::string rules =
      fmt::format("{}\n{}{}\n{}", options_.name, options_.tls12, options_.tls13, options_.ciphers);
  std::array<unsigned char, SSL_MAX_SID_CTX_LENGTH> scope;
  static_assert(scope.size() == 32);
  SL_ASSERT(EVP_Digest(rules.data(), rules.size(), scope.data(), nullptr, EVP_sha256(), nullptr) == 1);
  SSL_CTX_set_session_id_context(context, scope.data(), static_cast<unsigned>(scope.size()));
  if (options_.tickets == nullptr) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
    return;
  }
  SSL_CTX_set_num_tickets(context, 2);  // browsers open several connections
  if (options_.early_data) {
    SL_ASSERT(options_.client_certificates == ClientCertificates::off);
    SSL_CTX_set_max_early_data(context, kEarlyBytes);
    // That would keep sessions here. What is replayed within OpenSSL's ten seconds is a safe request that says so.
    SSL_CTX_set_options(context, SSL_OP_NO_ANTI_REPLAY);
  }
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, [](SSL* ssl, unsigned char* name, unsigned char* iv,
                                                   EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal) {
    const int done = seal_or_open(*self_of(ssl)->options_.tickets, name, iv, cipher, mac, seal != 0);
    // In TLS 1.3 a ticket is good for one use (RFC 8446 §C.4), so that whoever used one needs another.
    constexpr int kGood = 1;
    constexpr int kGoodButOld = 2;
    return seal == 0 && done == kGood && SSL_version(ssl) == TLS1_3_VERSION ? kGoodButOld : done;
  });
}

bool ServerContext::ask_clients(Failure& failure) {
  SSL_CTX* context = context_.get();
  const std::vector<CertificatePtr> authorities = read_certificates(options_.client_ca_pem, failure.why);
  if (authorities.empty()) {
    failure.part = Part::ca;
    return false;
  }
  trust(context, authorities);
  // The client is told of them.
  for (const CertificatePtr& authority : authorities) SSL_CTX_add_client_CA(context, authority.get());
  const bool required = options_.client_certificates == ClientCertificates::required;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  return true;
}

const ServerContext::Choice& ServerContext::choice_for(std::string_view name) const {
  if (name.empty() || name.size() > kMaxName) return default_;
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), to_lower);
  if (const auto found = exact_.find(lower); found != exact_.end()) return found->second;
  const size_t dot = lower.find('.');  // a wildcard stands for one label (RFC 6125 §6.4.3)
  if (dot == std::string::npos || dot == 0) return default_;
  const auto found = wildcard_.find(lower.substr(dot + 1));
  return found != wildcard_.end() ? found->second : default_;
}

int ServerContext::on_certificate(SSL* ssl, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const Choice& choice = static_cast<ServerContext*>(self)->choice_for(name != nullptr ? name : "");
  int offered = 0;
  for (const std::shared_ptr<const Certificate>& one : choice) offered += one->offer(ssl) ? 1 : 0;
  return offered > 0 ? 1 : 0;
}

// OCSP stapling (RFC 6066 §8).
int ServerContext::on_status(SSL* ssl, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  for (const auto& certificate : static_cast<ServerContext*>(self)->choice_for(name != nullptr ? name : "")) {
    const std::string_view response = certificate->ocsp_at(wall_now().count() / 1'000'000);
    if (response.empty() || !certificate->is(SSL_get_certificate(ssl))) continue;
    void* copy = OPENSSL_memdup(response.data(), response.size());
    if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, static_cast<unsigned char*>(copy), static_cast<int>(response.size()));
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

// Who offers protocols of which we speak none is told so (RFC 7301 §3.2).
int ServerContext::on_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                           unsigned in_size, void* self) {
  const std::string& ours = static_cast<ServerContext*>(self)->alpn_;
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                                          static_cast<unsigned>(ours.size()), in, in_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::unique_ptr<Channel> ServerContext::accept(int fd) const {
  SslPtr ssl(SSL_new(context_.get()));
  SL_ASSERT(ssl != nullptr);
  SSL_set_accept_state(ssl.get());
  return std::make_unique<Channel>(std::move(ssl), fd, event::Transport::Need::readable, shared_from_this());
}

}  // namespace sluice::tls
