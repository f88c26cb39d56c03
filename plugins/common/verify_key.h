// VerifyKey: what signatures are checked with, by libcrypto: a secret, or a public key. It knows which kind it is, and no signature of
// another kind ever holds, whatever a caller asks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_pkey_st;

namespace sluice {

enum class KeyKind : uint8_t { secret, rsa, p256, p384, p521, ed25519 };
enum class Scheme : uint8_t { hmac, rsa_pkcs1, rsa_pss, ecdsa, ed25519 };
enum class Hash : uint8_t { sha256, sha384, sha512 };

/// Immutable once made; may be used by many threads.
class VerifyKey {
 public:
  static constexpr int kMinRsaBits = 2048;
  static constexpr int kMaxRsaBits = 8192;

  static VerifyKey of_secret(std::string_view secret);
  /// Numbers are unsigned and big-endian. Each returns nothing if that is no key, or one that is too weak or too large.
  static std::optional<VerifyKey> of_rsa(std::string_view modulus, std::string_view exponent);
  /// `kind` is the curve; x and y are as long as its field.
  static std::optional<VerifyKey> of_ec(KeyKind kind, std::string_view x, std::string_view y);
  static std::optional<VerifyKey> of_ed25519(std::string_view x);
  /// The first PUBLIC KEY or CERTIFICATE of a PEM text.
  static std::optional<VerifyKey> of_pem(std::string_view pem);

  [[nodiscard]] KeyKind kind() const { return kind_; }
  [[nodiscard]] std::string_view secret() const { return secret_; }
  bool operator==(const VerifyKey& other) const;

  /// Is `signature` one of `message`? The salt of rsa_pss is as long as the hash (RFC 7518 §3.5); an ecdsa signature is R and S, each as
  /// long as the curve's order (§3.4), not DER; ed25519 has a hash of its own.
  [[nodiscard]] bool holds(Scheme scheme, Hash hash, std::string_view signature, std::string_view message) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const;
  };
  using Handle = std::unique_ptr<evp_pkey_st, Free>;

  VerifyKey(KeyKind kind, std::string secret, Handle handle);
  static std::optional<VerifyKey> of_handle(Handle handle);
  [[nodiscard]] bool hmac_holds(Hash hash, std::string_view signature, std::string_view message) const;

  KeyKind kind_;
  std::string secret_;
  Handle handle_;
};

}  // namespace sluice
