// Why a request is refused: one row each, from which come its counter, the reason in the answer and in the log, and the text for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::jwt {

enum class Refusal : uint8_t {
  none,
  missing,
  malformed,
  too_long,
  algorithm,
  type,
  key_unknown,
  signature,
  claims,
  not_yet_valid,
  expired,
  issuer,
  audience,
  scope,
  count
};

struct RefusalRow {
  std::string_view name;    // of the counter
  std::string_view reason;  // the code
  std::string_view text;
};

inline constexpr RefusalRow kRefusals[] = {
    {"", "", ""},
    {"missing", "jwt_missing", "A token is needed."},
    {"malformed", "jwt_malformed", "The token is malformed."},
    {"too_long", "jwt_too_long", "The token is too long."},
    {"algorithm", "jwt_algorithm", "The token is signed with an algorithm that is not accepted for its key."},
    {"type", "jwt_type", "The token is of another type."},
    {"key_unknown", "jwt_key_unknown", "The token is signed with a key that is not known."},
    {"signature", "jwt_signature", "The token's signature is wrong."},
    {"claims", "jwt_claims", "The token lacks a claim, or has one that is malformed."},
    {"not_yet_valid", "jwt_not_yet_valid", "The token is not valid yet."},
    {"expired", "jwt_expired", "The token has expired."},
    {"issuer", "jwt_issuer", "The token is of another issuer."},
    {"audience", "jwt_audience", "The token is for another audience."},
    {"scope", "jwt_scope", "The token does not allow this."},
};
static_assert(sizeof(kRefusals) / sizeof(kRefusals[0]) == static_cast<size_t>(Refusal::count));

inline const RefusalRow& row(Refusal refusal) { return kRefusals[static_cast<size_t>(refusal)]; }

}  // namespace sluice::jwt
