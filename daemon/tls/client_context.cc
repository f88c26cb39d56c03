#include "tls/client_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <utility>

#include "base/assert.h"
#include "base/format.h"
#include "tls/channel.h"

namespace sluice::tls {

namespace {

using Failure = ClientContext::Failure;
using Part = Failure::Part;

BioPtr reader_of(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A key that is encrypted must not make OpenSSL ask on the terminal.
int no_password(char*, int, int, void*) { return -1; }

const char* last_error() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason != nullptr ? reason : "unknown error";
}

// Each certificate of a PEM text in turn; the end of the text is not an error.
template <typename Take>
bool each_certificate(const std::string& pem, Take&& take, std::string& why) {
  const BioPtr bio = reader_of(pem);
  size_t count = 0;
  for (;;) {
    CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (certificate == nullptr) break;
    if (!take(std::move(certificate))) {
      why = last_error();
      return false;
    }
    ++count;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) {
    why = fmt::format("certificate {} in it cannot be read: {}", count + 1, last_error());
  } else if (count == 0) {
    why = "there is no certificate in it";
  }
  ERR_clear_error();
  return at_end && count > 0;
}

bool trust(SSL_CTX* context, const std::string& pem, std::string& why) {
  if (pem.empty()) {
    SSL_CTX_set_default_verify_paths(context);
    return true;
  }
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  // Who is named here is trusted, be it a root or not.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return each_certificate(
      pem, [&](const CertificatePtr& certificate) { return X509_STORE_add_cert(store, certificate.get()) == 1; }, why);
}

bool use_certificate(SSL_CTX* context, const std::string& pem, std::string& why) {
  bool first = true;
  const auto take = [&](CertificatePtr certificate) {
    if (std::exchange(first, false)) return SSL_CTX_use_certificate(context, certificate.get()) == 1;
    if (SSL_CTX_add0_chain_cert(context, certificate.get()) != 1) return false;
    (void)certificate.release();  // the context owns it
    return true;
  };
  return each_certificate(pem, take, why);
}

bool use_key(SSL_CTX* context, const std::string& pem, std::string& why) {
  const BioPtr bio = reader_of(pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) {
    const auto holds = [&](std::string_view words) { return pem.find(words) != std::string::npos; };
    why = !holds("PRIVATE KEY-----") ? "there is no private key in it"
          : holds("ENCRYPTED")       ? "the key is encrypted; write it without a password"
                                     : fmt::format("the key cannot be read: {}", last_error());
    return false;
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1) return true;
  why = "the key does not belong to the certificate";
  return false;
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
  const bool identified = !options.certificate_pem.empty();
  bool usable = true;
  const auto check = [&](Part part, bool good) {
    if (!good && usable) failure.part = part;
    usable = usable && good;
  };
  check(Part::ca, trust(context, options.ca_pem, failure.why));
  if (usable && identified) check(Part::certificate, use_certificate(context, options.certificate_pem, failure.why));
  if (usable && identified) check(Part::key, use_key(context, options.key_pem, failure.why));
  ERR_clear_error();
  if (!usable) return nullptr;
  return std::shared_ptr<const ClientContext>(new ClientContext(std::move(made)));
}

std::unique_ptr<event::Transport> ClientContext::connect(int fd, const std::string& name) const {
  SslPtr ssl(SSL_new(context_.get()));
  SL_ASSERT(ssl != nullptr);
  SSL_set_connect_state(ssl.get());
  SL_ASSERT(!name.empty());  // to OpenSSL, that is any name
  if (is_ip(name)) {
    SL_ASSERT(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str()) == 1);
  } else {
    SL_ASSERT(SSL_set_tlsext_host_name(ssl.get(), name.c_str()) == 1);
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SL_ASSERT(SSL_set1_host(ssl.get(), name.c_str()) == 1);
  }
  return std::make_unique<Channel>(std::move(ssl), fd, event::Transport::Need::writable);
}

}  // namespace sluice::tls
