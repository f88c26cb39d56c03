// The algorithms that a token may be signed with (RFC 7518 §3.1, RFC 8037 §3.1), and sets of them. "none" is not one.
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>

#include "common/verify_key.h"

namespace sluice::jwt {

/// An index of kAlgorithms.
using Algorithm = uint8_t;

struct AlgorithmRow {
  std::string_view name;
  Scheme scheme;
  Hash hash;
  KeyKind key;
};

inline constexpr AlgorithmRow kAlgorithms[] = {
    {"HS256", Scheme::hmac, Hash::sha256, KeyKind::secret},
    {"HS384", Scheme::hmac, Hash::sha384, KeyKind::secret},
    {"HS512", Scheme::hmac, Hash::sha512, KeyKind::secret},
    {"RS256", Scheme::rsa_pkcs1, Hash::sha256, KeyKind::rsa},
    {"RS384", Scheme::rsa_pkcs1, Hash::sha384, KeyKind::rsa},
    {"RS512", Scheme::rsa_pkcs1, Hash::sha512, KeyKind::rsa},
    {"PS256", Scheme::rsa_pss, Hash::sha256, KeyKind::rsa},
    {"PS384", Scheme::rsa_pss, Hash::sha384, KeyKind::rsa},
    {"PS512", Scheme::rsa_pss, Hash::sha512, KeyKind::rsa},
    {"ES256", Scheme::ecdsa, Hash::sha256, KeyKind::p256},
    {"ES384", Scheme::ecdsa, Hash::sha384, KeyKind::p384},
    {"ES512", Scheme::ecdsa, Hash::sha512, KeyKind::p521},
    {"EdDSA", Scheme::ed25519, Hash::sha512, KeyKind::ed25519},
};

inline std::optional<Algorithm> algorithm_named(std::string_view name) {
  for (Algorithm i = 0; i < std::size(kAlgorithms); ++i) {
    if (kAlgorithms[i].name == name) return i;
  }
  return std::nullopt;
}

class AlgorithmSet {
 public:
  constexpr AlgorithmSet() = default;
  static AlgorithmSet of_kind(KeyKind kind) {
    AlgorithmSet set;
    for (Algorithm i = 0; i < std::size(kAlgorithms); ++i) {
      if (kAlgorithms[i].key == kind) set.add(i);
    }
    return set;
  }

  void add(Algorithm algorithm) { bits_ |= 1u << algorithm; }
  [[nodiscard]] bool has(Algorithm algorithm) const { return (bits_ >> algorithm & 1u) != 0; }
  [[nodiscard]] bool empty() const { return bits_ == 0; }
  [[nodiscard]] AlgorithmSet operator&(AlgorithmSet other) const {
    AlgorithmSet both;
    both.bits_ = bits_ & other.bits_;
    return both;
  }
  bool operator==(const AlgorithmSet&) const = default;

 private:
  uint32_t bits_ = 0;
};

}  // namespace sluice::jwt
