// What stands in PEM files (RFC 7468): certificates and private keys. Each function says in words what is wrong.
#pragma once

#include <string>
#include <vector>

#include "tls/openssl.h"

namespace sluice::tls {

/// What cannot be used, and why.
struct Failure {
  enum class Part : uint8_t { ca, certificate, key, ocsp, ticket_key, ciphers };
  Part part = Part::ca;
  std::string why;
  size_t which = 0;  // of several certificates, or ticket keys
};

/// All of them, at least one; none after an error. The end of the text is not one.
[[nodiscard]] std::vector<CertificatePtr> read_certificates(const std::string& pem, std::string& why);

/// nullptr after an error. Keys that need a password are refused.
[[nodiscard]] KeyPtr read_key(const std::string& pem, std::string& why);

/// What OpenSSL says of its last error; static storage.
[[nodiscard]] const char* last_error();

}  // namespace sluice::tls
