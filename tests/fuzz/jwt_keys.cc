// What an issuer's server, or a file, gives as a key or a set of keys.
#include <string>

#include "check.h"
#include "jwt/key.h"

using namespace sluice;
using namespace sluice::jwt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  KeyRules public_only;
  public_only.secrets = false;
  const auto parsed = parse_keys(text, {});
  const auto fetched = parse_keys(text, public_only);
  FUZZ_CHECK(parsed.has_value() == fetched.has_value());
  if (!parsed) return 0;
  FUZZ_CHECK(fetched->keys.size() <= parsed->keys.size());
  for (const auto& key : fetched->keys) FUZZ_CHECK(key->key.kind() != KeyKind::secret);
  const std::string nothing(64, '\0');
  for (const auto& key : parsed->keys) {
    FUZZ_CHECK(!key->algorithms.empty());
    for (Algorithm i = 0; i < std::size(kAlgorithms); ++i) {
      FUZZ_CHECK(!key->algorithms.has(i) || kAlgorithms[i].key == key->key.kind());
      FUZZ_CHECK(!key->key.holds(kAlgorithms[i].scheme, kAlgorithms[i].hash, nothing, text));
    }
  }
  FUZZ_CHECK(keep_known(parsed->keys, parse_keys(text, {})->keys).size() == parsed->keys.size());
  return 0;
}
