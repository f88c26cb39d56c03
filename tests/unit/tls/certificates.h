// Certificates that are made while the tests run: an authority, and what it signs.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <string>

#include "tls/openssl.h"

namespace sluice::tls::test {

inline std::string pem_of(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_X509(bio.get(), certificate) == 1);
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<size_t>(length)};
}

/// With a password: encrypted.
inline std::string pem_of(EVP_PKEY* key, const std::string& password = {}) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  const bool encrypted = !password.empty();
  REQUIRE(PEM_write_bio_PrivateKey(bio.get(), key, encrypted ? EVP_aes_128_cbc() : nullptr,
                                   reinterpret_cast<const unsigned char*>(encrypted ? password.data() : nullptr),
                                   static_cast<int>(password.size()), nullptr, nullptr) == 1);
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<size_t>(length)};
}

/// A key and the certificate for it.
struct Identity {
  KeyPtr key;
  CertificatePtr certificate;

  [[nodiscard]] std::string certificate_pem() const { return pem_of(certificate.get()); }
  [[nodiscard]] std::string key_pem() const { return pem_of(key.get()); }
};

struct IdentityOptions {
  std::string alternative_names;     // "DNS:a.test,IP:127.0.0.1"
  long valid_for_seconds = 3600;     // below 0: it has expired
  const Identity* signer = nullptr;  // nullptr: signed by itself
  bool is_authority = false;
  bool rsa = false;  // and not ECDSA
};

inline Identity make_identity(const std::string& name, const IdentityOptions& options = {}) {
  static long serial = 0;
  Identity made{KeyPtr(options.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256")), CertificatePtr(X509_new())};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
  X509_gmtime_adj(X509_getm_notAfter(certificate), options.valid_for_seconds);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  const Identity& signer = options.signer != nullptr ? *options.signer : made;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer.certificate.get()));
  const auto extend = [&](int kind, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
    REQUIRE(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  };
  if (!options.alternative_names.empty()) extend(NID_subject_alt_name, options.alternative_names);
  if (options.is_authority) extend(NID_basic_constraints, "critical,CA:TRUE");
  REQUIRE(X509_sign(certificate, signer.key.get(), EVP_sha256()) > 0);
  return made;
}

inline Identity make_authority(const std::string& name) { return make_identity(name, {.is_authority = true}); }

}  // namespace sluice::tls::test
