// Key: what a token's signature is checked with, and what it may be used for. Which algorithm that is was settled where the key came
// from; a token can only agree.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/verify_key.h"
#include "jwt/algorithm.h"

namespace sluice::jwt {

/// Immutable. It lives as long as its set has it: what was verified with it is worth nothing afterwards.
struct Key {
  VerifyKey key;
  std::string id;  // kid; empty: whatever a token says
  AlgorithmSet algorithms;
  std::string issuer;  // whose tokens it may verify; empty: anyone's

  bool operator==(const Key&) const = default;
};

using Keys = std::vector<std::shared_ptr<const Key>>;

/// What the configuration says of the keys of a source.
struct KeyRules {
  std::optional<AlgorithmSet> algorithms;
  std::string id;
  std::string issuer;
  bool secrets = true;  // may there be any?
};

/// What a key of that kind may verify: its `own` algorithm if it names one, else what the rules say, else the one that its kind
/// implies: RS256 for RSA, HS256 for a secret. Empty if that contradicts itself.
AlgorithmSet algorithms_for(KeyKind kind, std::optional<Algorithm> own, const KeyRules& rules);

struct ParsedKeys {
  Keys keys;
  std::string skipped;  // why keys were left out, for people; empty: none was
};

/// A JWK or a JWK Set (RFC 7517). Keys of kinds, uses and algorithms that are none of ours are left out, as §5 says, and so are
/// malformed ones. Nothing if it is no JSON or no such text.
std::optional<ParsedKeys> parse_keys(std::string_view json, const KeyRules& rules);

/// `fresh`, but with the very objects of `old` where a key is the same.
Keys keep_known(const Keys& old, Keys fresh);

}  // namespace sluice::jwt
