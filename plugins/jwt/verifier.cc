#include "jwt/verifier.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "common/base64.h"
#include "common/header_syntax.h"

namespace sluice::jwt {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

namespace {

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// True if `visit` is true of any word of a list with spaces between, as in RFC 6749 §3.3.
template <typename Visit>
bool any_word(std::string_view text, Visit&& visit) {
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    if (space > 0 && visit(text.substr(0, space))) return true;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return false;
}

// A text, number or flag as text; nothing for others.
bool append_scalar(const element& value, std::string& out) {
  char digits[32];
  switch (value.type()) {
    case element_type::STRING: out += value.get_string().value_unsafe(); return true;
    case element_type::BOOL: out += value.get_bool().value_unsafe() ? "true" : "false"; return true;
    case element_type::INT64:
      out.append(digits, std::to_chars(digits, std::end(digits), value.get_int64().value_unsafe()).ptr);
      return true;
    case element_type::UINT64:
      out.append(digits, std::to_chars(digits, std::end(digits), value.get_uint64().value_unsafe()).ptr);
      return true;
    case element_type::DOUBLE:
      out.append(digits, std::to_chars(digits, std::end(digits), value.get_double().value_unsafe()).ptr);
      return true;
    default: return false;
  }
}

}  // namespace

// The claims of a token whose signature holds.
class ClaimsReader {
 public:
  /// `keys`: those that it holds with.
  ClaimsReader(const object& claims, const TokenRules& rules, const Keys& keys, VerifiedToken& token)
      : claims_(claims), rules_(rules), keys_(keys), token_(token) {
    token_ = {};
  }

  Refusal read(Micros wall) {
    for (const std::string& name : rules_.required_claims) {
      element value;
      if (claims_.at_key(name).get(value) != simdjson::SUCCESS || value.is_null()) return Refusal::claims;
    }
    if (!read_times()) return Refusal::claims;
    if (const Refusal refusal = token_.refusal_at(wall); refusal != Refusal::none) return refusal;
    if (const Refusal refusal = check_issuer(); refusal != Refusal::none) return refusal;
    if (!is_for_us()) return Refusal::audience;
    if (!has_scopes()) return Refusal::scope;
    if (!write_shared() || !write_headers()) return Refusal::claims;
    token_.text_.shrink_to_fit();
    token_.fields_.shrink_to_fit();
    return Refusal::none;
  }

 private:
  static constexpr size_t kMaxShared = 32;
  static constexpr size_t kMaxSharedBytes = 256;
  static constexpr size_t kMaxNameBytes = 64;
  static constexpr size_t kMaxHeaderBytes = 4096;

  // A NumericDate (RFC 7519 §2), to far more than any date; false if there is one that is no number.
  bool read_date(std::string_view name, std::optional<Micros>& date) const {
    constexpr double kFar = 1e12;
    element value;
    double seconds = 0;
    if (claims_.at_key(name).get(value) != simdjson::SUCCESS) return true;
    if (!value.is_number() || value.get(seconds) != simdjson::SUCCESS || std::isnan(seconds)) return false;
    date = Micros(static_cast<int64_t>(std::clamp(seconds, -kFar, kFar) * 1e6));
    return true;
  }

  bool read_times() {
    std::optional<Micros> exp;
    std::optional<Micros> nbf;
    std::optional<Micros> iat;
    if (!read_date("exp", exp) || !read_date("nbf", nbf) || !read_date("iat", iat)) return false;
    if (exp) token_.until_ = *exp + rules_.skew;
    for (const auto& begin : {nbf, iat}) {
      if (begin) token_.from_ = std::max(token_.from_, *begin - rules_.skew);
    }
    return true;
  }

  // The registered claims that are texts must be texts, whether anyone asks for them or not.
  Refusal check_issuer() {
    const auto issuer = text_of(claims_, "iss");
    if (!issuer && claims_.at_key("iss").error() == simdjson::SUCCESS) return Refusal::claims;
    if (!text_of(claims_, "sub") && claims_.at_key("sub").error() == simdjson::SUCCESS) return Refusal::claims;
    if (!rules_.issuers.empty() && !(issuer && contains(rules_.issuers, *issuer))) return Refusal::issuer;
    const auto key = std::find_if(keys_.begin(), keys_.end(), [&issuer](const auto& each) {
      return each->issuer.empty() || issuer == each->issuer;
    });
    if (key == keys_.end()) return Refusal::issuer;
    token_.key_ = *key;
    return Refusal::none;
  }

  [[nodiscard]] bool is_for_us() const {
    if (rules_.audiences.empty()) return true;
    if (const auto one = text_of(claims_, "aud")) return contains(rules_.audiences, *one);
    array list;
    if (claims_.at_key("aud").get(list) != simdjson::SUCCESS) return false;
    return std::any_of(list.begin(), list.end(), [this](const element& each) {
      std::string_view text;
      return each.get(text) == simdjson::SUCCESS && contains(rules_.audiences, text);
    });
  }

  // `scope` as RFC 8693 §4.2 and RFC 9068 have it; others write a list, or call it scp.
  [[nodiscard]] bool has_scopes() const {
    return std::all_of(rules_.scopes.begin(), rules_.scopes.end(),
                       [this](const std::string& scope) { return grants("scope", scope) || grants("scp", scope); });
  }
  [[nodiscard]] bool grants(std::string_view claim, std::string_view scope) const {
    const auto is_it = [scope](std::string_view word) { return word == scope; };
    if (const auto text = text_of(claims_, claim)) return any_word(*text, is_it);
    array list;
    if (claims_.at_key(claim).get(list) != simdjson::SUCCESS) return false;
    return std::any_of(list.begin(), list.end(), [&](const element& each) {
      std::string_view text;
      return each.get(text) == simdjson::SUCCESS && is_it(text);
    });
  }

  // False if it cannot be told whose the token is: for others, two whom they know nothing of would be one.
  bool write_shared() {
    for (const std::string_view name : {"sub", "iss"}) {
      const auto member = claims_.at_key(name);
      if (member.error() == simdjson::SUCCESS && !share(name, member.value_unsafe())) return false;
    }
    for (const auto& member : claims_) {
      if (member.key != "sub" && member.key != "iss") share(member.key, member.value);
    }
    token_.shared_count_ = token_.fields_.size();
    return true;
  }

  bool share(std::string_view name, const element& value) {
    if (token_.fields_.size() == kMaxShared || name.size() > kMaxNameBytes) return false;
    const size_t begin = token_.text_.size();
    token_.text_.append("jwt.").append(name);
    const size_t middle = token_.text_.size();
    if (!append_scalar(value, token_.text_) || token_.text_.size() - middle > kMaxSharedBytes) {
      token_.text_.resize(begin);
      return false;
    }
    add_field(begin, middle);
    return true;
  }

  // False if a claim cannot be a header's value: an upstream must not take "no such header" for "nobody".
  bool write_headers() {
    for (const auto& [claim, header] : rules_.headers) {
      element value;
      if (claims_.at_key(claim).get(value) != simdjson::SUCCESS || value.is_null()) continue;
      const size_t begin = token_.text_.size();
      token_.text_ += header;
      const size_t middle = token_.text_.size();
      if (!append_header_value(value)) return false;
      const auto text = std::string_view(token_.text_).substr(middle);
      if (text.size() > kMaxHeaderBytes || !is_field_value(text)) return false;
      add_field(begin, middle);
    }
    return true;
  }

  // A list becomes its entries with commas between them; so an entry may have none.
  bool append_header_value(const element& value) {
    array list;
    if (value.get(list) != simdjson::SUCCESS) return append_scalar(value, token_.text_);
    bool first = true;
    for (const element& each : list) {
      if (!std::exchange(first, false)) token_.text_ += ',';
      const size_t begin = token_.text_.size();
      if (!append_scalar(each, token_.text_) || token_.text_.find(',', begin) != std::string::npos) return false;
    }
    return true;
  }

  void add_field(size_t begin, size_t middle) {
    const auto range = [](size_t from, size_t to) {
      return VerifiedToken::Range{static_cast<uint32_t>(from), static_cast<uint32_t>(to - from)};
    };
    token_.fields_.push_back({range(begin, middle), range(middle, token_.text_.size())});
  }

  const object& claims_;
  const TokenRules& rules_;
  const Keys& keys_;
  VerifiedToken& token_;
};

struct Verifier::Head {
  Algorithm algorithm = 0;
  std::optional<std::string_view> key_id;
};

Refusal Verifier::verify(std::string_view text, std::span<const Keys* const> keys, Micros wall, VerifiedToken& token) {
  if (text.size() > rules_.max_bytes) return Refusal::too_long;
  const size_t first = text.find('.');
  const size_t second = text.find('.', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return Refusal::malformed;
  const std::string_view signed_text = text.substr(0, second);
  const std::string_view encoded_claims = signed_text.substr(first + 1);
  signature_memory_.resize(rules_.max_bytes);
  const auto signature = decode_base64url(text.substr(second + 1), signature_memory_);  // refuses a third dot
  if (first == 0 || encoded_claims.empty() || !signature || signature->empty()) return Refusal::malformed;

  Head head;
  if (const Refusal refusal = read_head(text.substr(0, first), head); refusal != Refusal::none) return refusal;
  Keys found;
  if (const Refusal refusal = find_keys(head, keys, signed_text, *signature, found); refusal != Refusal::none)
    return refusal;
  const auto claims_text = decode(encoded_claims);
  if (!claims_text) return Refusal::malformed;
  const auto claims = json_.read_object(*claims_text);
  if (!claims) return Refusal::malformed;
  return ClaimsReader(*claims, rules_, found, token).read(wall);
}

std::optional<std::string_view> Verifier::decode(std::string_view encoded) {
  memory_.resize(rules_.max_bytes);
  return decode_base64url(encoded, memory_);
}

// What else may stand there to name or bring a key (jwk, jku, x5u, x5c, x5t) is not looked at.
Refusal Verifier::read_head(std::string_view encoded, Head& head) {
  const auto text = decode(encoded);
  if (!text) return Refusal::malformed;
  const auto object = json_.read_object(*text);
  if (!object) return Refusal::malformed;
  const auto has = [&](std::string_view name) { return object->at_key(name).error() == simdjson::SUCCESS; };
  if (has("crit")) return Refusal::malformed;  // RFC 7515 §4.1.11: there is no extension that we know
  const auto algorithm = algorithm_named(text_of(*object, "alg").value_or(""));
  if (!algorithm) return Refusal::algorithm;
  head.algorithm = *algorithm;
  head.key_id = text_of(*object, "kid");
  if (!head.key_id && has("kid")) return Refusal::malformed;
  if (rules_.types.empty()) return Refusal::none;
  // RFC 7515 §4.1.9: a media type, of which "application/" may be left out.
  std::string_view type = text_of(*object, "typ").value_or("");
  constexpr std::string_view kPrefix = "application/";
  if (type.size() > kPrefix.size() && equals_ignoring_case(type.substr(0, kPrefix.size()), kPrefix))
    type.remove_prefix(kPrefix.size());
  const bool known = std::any_of(rules_.types.begin(), rules_.types.end(),
                                 [type](const std::string& each) { return equals_ignoring_case(each, type); });
  return known ? Refusal::none : Refusal::type;
}

// All that hold have the same bytes: several issuers may sign with one key.
Refusal Verifier::find_keys(const Head& head, std::span<const Keys* const> keys, std::string_view signed_text,
                            std::string_view signature, Keys& found) const {
  const AlgorithmRow& algorithm = kAlgorithms[head.algorithm];
  bool is_meant = false;
  int tried = 0;
  for (const bool by_id : {true, false}) {  // first, so that keys without an id do not use up the tries
    for (const Keys* set : keys) {
      for (const auto& key : *set) {
        const bool same_id = !key->id.empty() && key->id == head.key_id;
        if (by_id ? !same_id : head.key_id && !key->id.empty()) continue;
        is_meant = is_meant || same_id;
        if (!key->algorithms.has(head.algorithm)) continue;
        const bool holds = found.empty() ? tried++ < kMaxTried &&
                                               key->key.holds(algorithm.scheme, algorithm.hash, signature, signed_text)
                                         : key->key == found.front()->key;
        if (holds) found.push_back(key);
      }
    }
  }
  if (!found.empty()) return Refusal::none;
  // Whatever else was tried for it: a newer set may have the key that it names.
  if (head.key_id && !is_meant) return Refusal::key_unknown;
  if (tried > 0) return Refusal::signature;
  return is_meant ? Refusal::algorithm : Refusal::key_unknown;
}

}  // namespace sluice::jwt
