// Keys that are made when a test begins, and what is signed with them: good tokens, and all kinds of bad ones.
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace sluice::jwt_test {

inline std::string base64url(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) out += kAlphabet[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kAlphabet[bits << (6 - count) & 63];
  return out;
}

inline std::string joined(std::string_view header, std::string_view claims) {
  return base64url(header) + "." + base64url(claims);
}

/// A private key and its algorithm.
class Signer {
 public:
  static Signer secret(std::string secret, std::string algorithm = "HS256") {
    Signer signer(std::move(algorithm), nullptr);
    signer.secret_ = std::move(secret);
    return signer;
  }
  static Signer rsa(std::string algorithm, unsigned bits = 2048) {
    return Signer(std::move(algorithm), EVP_RSA_gen(bits));
  }
  static Signer ec(std::string algorithm, const char* curve) { return Signer(std::move(algorithm), EVP_EC_gen(curve)); }
  static Signer ed25519() { return Signer("EdDSA", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }

  [[nodiscard]] const std::string& algorithm() const { return algorithm_; }
  /// The same key for another algorithm of its kind.
  [[nodiscard]] Signer as(std::string algorithm) const {
    Signer other = *this;
    other.algorithm_ = std::move(algorithm);
    return other;
  }

  [[nodiscard]] std::string token(std::string_view claims, std::string_view more_header = "") const {
    return sign(R"({"alg":")" + algorithm_ + "\"" + std::string(more_header) + "}", claims);
  }
  [[nodiscard]] std::string sign(std::string_view header, std::string_view claims) const {
    const std::string text = joined(header, claims);
    return text + "." + base64url(signature(text));
  }

  [[nodiscard]] std::string signature(std::string_view text) const {
    const EVP_MD* digest = algorithm_.ends_with("256")   ? EVP_sha256()
                           : algorithm_.ends_with("384") ? EVP_sha384()
                                                         : EVP_sha512();
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    std::string out(1024, '\0');
    auto* at = reinterpret_cast<unsigned char*>(out.data());
    size_t size = out.size();
    if (key_ == nullptr) {
      unsigned mac_size = 0;
      HMAC(digest, secret_.data(), static_cast<int>(secret_.size()), bytes, text.size(), at, &mac_size);
      return out.substr(0, mac_size);
    }
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* settings = nullptr;
    EVP_DigestSignInit(context, &settings, algorithm_ == "EdDSA" ? nullptr : digest, nullptr, key_.get());
    if (algorithm_.starts_with("PS")) {
      EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING);
      EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST);
    }
    if (EVP_DigestSign(context, at, &size, bytes, text.size()) != 1) std::abort();
    EVP_MD_CTX_free(context);
    out.resize(size);
    return algorithm_.starts_with("ES") ? raw(out) : out;
  }

  /// As a JWK, with `more` members.
  [[nodiscard]] std::string jwk(std::string_view more = "") const {
    std::string text;
    if (key_ == nullptr) {
      text = R"({"kty":"oct","k":")" + base64url(secret_);
    } else if (EVP_PKEY_is_a(key_.get(), "RSA")) {
      text = R"({"kty":"RSA","n":")" + number(OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" + number(OSSL_PKEY_PARAM_RSA_E);
    } else if (EVP_PKEY_is_a(key_.get(), "EC")) {
      const size_t bytes = coordinate_bytes();
      const std::string curve = bytes == 32 ? "P-256" : bytes == 48 ? "P-384" : "P-521";
      text = R"({"kty":"EC","crv":")" + curve + R"(","x":")" + number(OSSL_PKEY_PARAM_EC_PUB_X, bytes) + R"(","y":")" +
             number(OSSL_PKEY_PARAM_EC_PUB_Y, bytes);
    } else {
      unsigned char raw_key[32];
      size_t size = sizeof(raw_key);
      EVP_PKEY_get_raw_public_key(key_.get(), raw_key, &size);
      text = R"({"kty":"OKP","crv":"Ed25519","x":")" + base64url({reinterpret_cast<const char*>(raw_key), size});
    }
    return text + "\"" + std::string(more) + "}";
  }
  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }

 private:
  Signer(std::string algorithm, EVP_PKEY* key) : algorithm_(std::move(algorithm)), key_(key, EVP_PKEY_free) {}

  [[nodiscard]] size_t coordinate_bytes() const { return (static_cast<size_t>(EVP_PKEY_get_bits(key_.get())) + 7) / 8; }

  [[nodiscard]] std::string number(const char* name, size_t bytes = 0) const {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &value);
    std::string out(bytes == 0 ? static_cast<size_t>(BN_num_bytes(value)) : bytes, '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
    BN_free(value);
    return base64url(out);
  }

  // R and S of a signature in DER.
  [[nodiscard]] std::string raw(std::string_view der) const {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    const size_t bytes = coordinate_bytes();
    std::string out(2 * bytes, '\0');
    auto* to = reinterpret_cast<unsigned char*>(out.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), to, static_cast<int>(bytes));
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), to + bytes, static_cast<int>(bytes));
    ECDSA_SIG_free(pair);
    return out;
  }

  std::string algorithm_;
  std::string secret_;
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace sluice::jwt_test
