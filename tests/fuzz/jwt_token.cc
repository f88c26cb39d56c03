// What a client sends as a token. The bytes are judged as they are, which nobody can have signed; and as a header and claims, parted by a
// line end, that the right secret signs, so that what lies behind the signature is reached too.
#include <string>

#include "../token_maker.h"
#include "check.h"
#include "common/header_syntax.h"
#include "jwt/verifier.h"

using namespace sluice;
using namespace sluice::jwt;

namespace {

constexpr Micros kNow{1'700'000'000'000'000};

struct World {
  jwt_test::Signer signer = jwt_test::Signer::secret("the secret of this fuzzer, as long as it has to be");
  Keys keys;
  TokenRules rules;

  World() {
    keys = parse_keys("{\"keys\":[" + signer.jwk(R"(,"kid":"k1")") + "," + signer.jwk() + "]}", {})->keys;
    rules.headers = {{"sub", "X-User"}, {"roles", "X-Roles"}};
    rules.max_bytes = 4096;
  }
};

Refusal judge(const World& world, std::string_view token, VerifiedToken& verified) {
  Verifier verifier(world.rules);
  const Keys* sets[] = {&world.keys};
  return verifier.verify(token, sets, kNow, verified);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const World world;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  VerifiedToken verified;
  FUZZ_CHECK(judge(world, bytes, verified) != Refusal::none);

  const size_t parting = std::min(bytes.find('\n'), bytes.size());
  const std::string header = bytes.substr(0, parting);
  const std::string claims = bytes.substr(std::min(parting + 1, bytes.size()));
  const std::string token = world.signer.sign(header.empty() ? R"({"alg":"HS256"})" : header, claims);
  const Refusal refusal = judge(world, token, verified);
  VerifiedToken again;
  FUZZ_CHECK(judge(world, token, again) == refusal);
  if (refusal != Refusal::none) return 0;
  FUZZ_CHECK(token.size() <= world.rules.max_bytes && verified.refusal_at(kNow) == Refusal::none);
  size_t count = 0;
  verified.for_each_shared([&](std::string_view name, std::string_view value) {
    ++count;
    FUZZ_CHECK(name.starts_with("jwt.") && value.size() <= 256);
  });
  FUZZ_CHECK(count <= 32);
  verified.for_each_header([](std::string_view name, std::string_view value) {
    FUZZ_CHECK((name == "X-User" || name == "X-Roles") && is_field_value(value));
  });
  std::string changed = token;
  changed[parting % changed.size()] ^= 1;
  FUZZ_CHECK(judge(world, changed, again) != Refusal::none);
  return 0;
}
