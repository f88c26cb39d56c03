#include "jwt/key.h"

#include <algorithm>
#include <array>
#include <span>

#include "common/base64.h"
#include "common/json.h"

namespace sluice::jwt {

namespace {

using simdjson::dom::object;

constexpr size_t kMaxKeys = 128;
constexpr size_t kMinSecretBytes = 32;  // RFC 7518 §3.2: as long as the hash of HS256

// One key as it is read, or why it is left out.
class JwkReader {
 public:
  JwkReader(const object& jwk, const KeyRules& rules) : jwk_(jwk), rules_(rules) {}

  std::shared_ptr<const Key> read() {
    std::optional<VerifyKey> key = read_key();
    if (!key) return nullptr;
    if (!may_verify()) return skip("is not for signatures");
    std::optional<Algorithm> own;
    if (const auto alg = jwk_.at_key("alg"); alg.error() == simdjson::SUCCESS) {
      own = algorithm_named(text_of(jwk_, "alg").value_or(""));
      if (!own) return skip("is for an algorithm that is not known here");
    }
    const AlgorithmSet algorithms = algorithms_for(key->kind(), own, rules_);
    if (algorithms.empty()) return skip("is not for one of the algorithms that may be used with it");
    std::string id(text_of(jwk_, "kid").value_or(rules_.id));
    return std::make_shared<const Key>(Key{std::move(*key), std::move(id), algorithms, rules_.issuer});
  }
  [[nodiscard]] const char* why() const { return why_; }

 private:
  std::nullptr_t skip(const char* why) {
    why_ = why;
    return nullptr;
  }

  std::optional<VerifyKey> read_key() {
    const auto type = text_of(jwk_, "kty");
    if (type == "RSA") {
      std::array<char, VerifyKey::kMaxRsaBits / 8 + 1> n;
      std::array<char, 8> e;
      const auto modulus = number("n", n);
      const auto exponent = number("e", e);
      if (modulus && exponent) return checked(VerifyKey::of_rsa(*modulus, *exponent));
    } else if (type == "EC") {
      const auto curve = text_of(jwk_, "crv");
      const auto kind = curve == "P-256"   ? std::optional(KeyKind::p256)
                        : curve == "P-384" ? std::optional(KeyKind::p384)
                        : curve == "P-521" ? std::optional(KeyKind::p521)
                                           : std::nullopt;
      if (!kind) return skip("is on a curve that is not known here"), std::nullopt;
      std::array<char, 66> x;
      std::array<char, 66> y;
      const auto at_x = number("x", x);
      const auto at_y = number("y", y);
      if (at_x && at_y) return checked(VerifyKey::of_ec(*kind, *at_x, *at_y));
    } else if (type == "OKP") {
      if (text_of(jwk_, "crv") != "Ed25519") return skip("is on a curve that is not known here"), std::nullopt;
      std::array<char, 32> x;
      const auto point = number("x", x);
      if (point) return checked(VerifyKey::of_ed25519(*point));
    } else if (type == "oct") {
      if (!rules_.secrets) return skip("is a secret, which does not come over the network"), std::nullopt;
      std::array<char, 1024> memory;
      const auto secret = number("k", memory);
      if (secret && secret->size() >= kMinSecretBytes) return VerifyKey::of_secret(*secret);
      return skip("is a secret of less than 32 bytes"), std::nullopt;
    } else {
      return skip("is of a type that is not known here"), std::nullopt;
    }
    return checked(std::nullopt);
  }

  std::optional<VerifyKey> checked(std::optional<VerifyKey> key) {
    if (!key) skip("is malformed, or too short (RSA: 2048 to 8192 bits)");
    return key;
  }

  std::optional<std::string_view> number(std::string_view name, std::span<char> out) const {
    const auto text = text_of(jwk_, name);
    return text ? decode_base64url(*text, out) : std::nullopt;
  }

  [[nodiscard]] bool may_verify() const {
    if (const auto use = jwk_.at_key("use"); use.error() == simdjson::SUCCESS && text_of(jwk_, "use") != "sig")
      return false;
    simdjson::dom::element operations;
    if (jwk_.at_key("key_ops").get(operations) != simdjson::SUCCESS) return true;
    simdjson::dom::array list;
    if (operations.get(list) != simdjson::SUCCESS) return false;
    return std::any_of(list.begin(), list.end(), [](const simdjson::dom::element& each) {
      std::string_view name;
      return each.get(name) == simdjson::SUCCESS && name == "verify";
    });
  }

  const object& jwk_;
  const KeyRules& rules_;
  const char* why_ = "";
};

void add_key(const object& jwk, const KeyRules& rules, ParsedKeys& parsed) {
  JwkReader reader(jwk, rules);
  if (auto key = reader.read()) return parsed.keys.push_back(std::move(key));
  parsed.skipped += (parsed.skipped.empty() ? "key \"" : "; key \"") + std::string(text_of(jwk, "kid").value_or("")) +
                    "\" " + reader.why();
}

}  // namespace

AlgorithmSet algorithms_for(KeyKind kind, std::optional<Algorithm> own, const KeyRules& rules) {
  AlgorithmSet set;
  if (own) {
    set.add(*own);
  } else if (rules.algorithms || (kind != KeyKind::rsa && kind != KeyKind::secret)) {
    set = AlgorithmSet::of_kind(kind);
  } else {
    set.add(*algorithm_named(kind == KeyKind::rsa ? "RS256" : "HS256"));
  }
  set = set & AlgorithmSet::of_kind(kind);
  return rules.algorithms ? set & *rules.algorithms : set;
}

std::optional<ParsedKeys> parse_keys(std::string_view json, const KeyRules& rules) {
  JsonReader reader;
  const auto root = reader.read_object(json);
  if (!root) return std::nullopt;
  ParsedKeys parsed;
  if (root->at_key("kty").error() == simdjson::SUCCESS) {
    add_key(*root, rules, parsed);
    return parsed;
  }
  simdjson::dom::array list;
  if (root->at_key("keys").get(list) != simdjson::SUCCESS || list.size() > kMaxKeys) return std::nullopt;
  for (const simdjson::dom::element& each : list) {
    object jwk;
    if (each.get(jwk) != simdjson::SUCCESS) return std::nullopt;
    add_key(jwk, rules, parsed);
  }
  return parsed;
}

Keys keep_known(const Keys& old, Keys fresh) {
  for (auto& key : fresh) {
    const auto known = std::find_if(old.begin(), old.end(), [&](const auto& each) { return *each == *key; });
    if (known != old.end()) key = *known;
  }
  return fresh;
}

}  // namespace sluice::jwt
