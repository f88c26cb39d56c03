#include "tls/authorities.h"

#include <openssl/x509v3.h>

namespace sluice::tls {

namespace {

// OpenSSL reads a certificate's extensions when it first needs them, which is in a handshake, of any worker. Now is the
// better time: they would wait for each other there.
void read_extensions(const X509_STORE* store) {
  const STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(store);
  for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
    X509* certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
    constexpr int kNoPurpose = -1;
    if (certificate != nullptr) X509_check_purpose(certificate, kNoPurpose, 0);
  }
}

}  // namespace

void trust(SSL_CTX* context, const std::vector<CertificatePtr>& authorities) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const CertificatePtr& authority : authorities) X509_STORE_add_cert(store, authority.get());
  read_extensions(store);
}

void trust_system(SSL_CTX* context) {
  SSL_CTX_set_default_verify_paths(context);
  read_extensions(SSL_CTX_get_cert_store(context));
}

}  // namespace sluice::tls
