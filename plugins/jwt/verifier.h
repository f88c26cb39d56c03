// Verifier: a token's text (RFC 7515, compact) to what it says, or to why it is refused. The order is that of cost and of trust: form,
// header, key, signature, and only then the claims. One worker; keeps its memory for the next token.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "jwt/key.h"
#include "jwt/refusal.h"

namespace sluice::jwt {

using Micros = std::chrono::microseconds;

/// What a token must be, beyond well signed. Immutable, from the configuration.
struct TokenRules {
  struct HeaderRule {
    std::string claim;
    std::string header;
  };
  std::vector<std::string> issuers;    // one of them; none: any
  std::vector<std::string> audiences;  // likewise
  std::vector<std::string> types;      // of the header's typ, small letters; none: any
  std::vector<std::string> required_claims;
  std::vector<std::string> scopes;  // all of them
  std::vector<HeaderRule> headers;
  Micros skew{60'000'000};
  size_t max_bytes = 8 * 1024;
};

/// What is remembered of a good token: until when it is one, and what others are told, ready made.
class VerifiedToken {
 public:
  /// none, expired or not_yet_valid, at this time since the epoch.
  [[nodiscard]] Refusal refusal_at(Micros wall) const {
    if (wall >= until_) return Refusal::expired;
    return wall < from_ ? Refusal::not_yet_valid : Refusal::none;
  }
  /// Its key is gone: nobody vouches for it any more.
  [[nodiscard]] bool is_orphan() const { return key_.expired(); }

  /// Calls `visit(name, value)` for each text for other plugins (names as in the bag), and for each header.
  template <typename Visit>
  void for_each_shared(Visit&& visit) const {
    for (size_t i = 0; i < shared_count_; ++i) visit(view(fields_[i].name), view(fields_[i].value));
  }
  template <typename Visit>
  void for_each_header(Visit&& visit) const {
    for (size_t i = shared_count_; i < fields_.size(); ++i) visit(view(fields_[i].name), view(fields_[i].value));
  }
  /// On the heap, but for what malloc keeps for itself.
  [[nodiscard]] size_t heap_bytes() const { return text_.capacity() + 1 + fields_.capacity() * sizeof(Field); }

 private:
  struct Range {
    uint32_t at = 0;
    uint32_t size = 0;
  };
  struct Field {
    Range name;
    Range value;
  };
  friend class ClaimsReader;

  [[nodiscard]] std::string_view view(Range range) const { return {text_.data() + range.at, range.size}; }

  std::weak_ptr<const Key> key_;
  Micros from_ = Micros::min();
  Micros until_ = Micros::max();
  std::string text_;
  std::vector<Field> fields_;
  size_t shared_count_ = 0;
};

class Verifier {
 public:
  /// Of the keys that could be meant, for a token that names none: as many are tried as this.
  static constexpr int kMaxTried = 8;

  explicit Verifier(const TokenRules& rules) : rules_(rules) {}

  /// Refusal::key_unknown: no key among `keys` could be meant, or none has the id that the token names. With Refusal::none `token` is filled in.
  Refusal verify(std::string_view text, std::span<const Keys* const> keys, Micros wall, VerifiedToken& token);

 private:
  struct Head;

  Refusal read_head(std::string_view encoded, Head& head);
  [[nodiscard]] Refusal find_keys(const Head& head, std::span<const Keys* const> keys, std::string_view signed_text,
                                  std::string_view signature, Keys& found) const;
  /// The bytes that `encoded` stands for, in memory that the next call uses again.
  std::optional<std::string_view> decode(std::string_view encoded);

  const TokenRules& rules_;
  JsonReader json_;
  std::string memory_;
  std::string signature_memory_;
};

}  // namespace sluice::jwt
