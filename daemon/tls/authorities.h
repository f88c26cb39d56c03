// Whom a context trusts: the certificates in its X509_STORE.
#pragma once

#include <vector>

#include "tls/openssl.h"

namespace sluice::tls {

/// Whoever is named here is trusted, be it a root or not. Before threads share the context.
void trust(SSL_CTX* context, const std::vector<CertificatePtr>& authorities);

/// Whom the system trusts; what SSL_CERT_FILE and SSL_CERT_DIR name instead.
void trust_system(SSL_CTX* context);

}  // namespace sluice::tls
