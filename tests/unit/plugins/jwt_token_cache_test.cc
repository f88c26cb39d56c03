#include <catch2/catch.hpp>

#include "../../token_maker.h"
#include "jwt/token_cache.h"

using namespace sluice;
using namespace sluice::jwt;
using namespace std::chrono_literals;
using jwt_test::Signer;

namespace {

// A key, and tokens that it has verified.
struct Issuer {
  Signer signer = Signer::secret(std::string(32, 'k'));
  Keys keys = parse_keys(signer.jwk(), {})->keys;
  TokenRules rules;

  VerifiedToken token(const std::string& subject = "alice") {
    Verifier verifier(rules);
    const Keys* sets[] = {&keys};
    VerifiedToken made;
    REQUIRE(verifier.verify(signer.token(R"({"exp":1700000600,"sub":")" + subject + "\"}"), sets, 1'700'000'000s,
                            made) == Refusal::none);
    return made;
  }
};

std::string text_of(int number) { return "token " + std::to_string(number); }

size_t bytes_of_one() {
  Issuer issuer;
  TokenCache cache(1 << 20);
  cache.put(text_of(0), issuer.token(), 1s);
  return cache.bytes();
}

}  // namespace

TEST_CASE("a token that was verified is known for its time", "[jwt]") {
  Issuer issuer;
  TokenCache cache(1 << 20);
  CHECK(cache.find(text_of(1), 0s) == nullptr);
  cache.put(text_of(1), issuer.token("alice"), 10s);
  const VerifiedToken* found = cache.find(text_of(1), 10s - 1us);
  REQUIRE(found != nullptr);
  std::string subject;
  found->for_each_shared([&](std::string_view name, std::string_view value) {
    if (name == "jwt.sub") subject = value;
  });
  CHECK(subject == "alice");
  CHECK(cache.find(text_of(2), 0s) == nullptr);
  CHECK(cache.find(text_of(1), 10s) == nullptr);
  CHECK(cache.size() == 0);  // nor does it take memory any more
  CHECK(cache.bytes() == 0);
}

TEST_CASE("a token is forgotten with its key", "[jwt]") {
  Issuer issuer;
  TokenCache cache(1 << 20);
  cache.put(text_of(1), issuer.token(), 10s);
  CHECK(cache.find(text_of(1), 1s) != nullptr);
  issuer.keys.clear();
  CHECK(cache.find(text_of(1), 1s) == nullptr);
  CHECK(cache.bytes() == 0);
}

TEST_CASE("a token is forgotten when it is told to be", "[jwt]") {
  Issuer issuer;
  TokenCache cache(1 << 20);
  cache.put(text_of(1), issuer.token(), 10s);
  cache.put(text_of(2), issuer.token(), 10s);
  cache.remove(text_of(1));
  cache.remove(text_of(3));
  CHECK(cache.find(text_of(1), 1s) == nullptr);
  CHECK(cache.find(text_of(2), 1s) != nullptr);
  CHECK(cache.bytes() == bytes_of_one());
}

TEST_CASE("the token that was not used for the longest makes room", "[jwt]") {
  Issuer issuer;
  TokenCache cache(3 * bytes_of_one());
  for (int i = 0; i < 3; ++i) cache.put(text_of(i), issuer.token(), 10s);
  CHECK(cache.find(text_of(0), 1s) != nullptr);  // used
  cache.put(text_of(3), issuer.token(), 10s);
  CHECK(cache.size() == 3);
  CHECK(cache.find(text_of(1), 1s) == nullptr);
  for (const int kept : {0, 2, 3}) CHECK(cache.find(text_of(kept), 1s) != nullptr);
}

TEST_CASE("remembered tokens take no more memory than they may", "[jwt]") {
  Issuer issuer;
  constexpr size_t kMost = 64 * 1024;
  TokenCache cache(kMost);
  for (int i = 0; i < 1000; ++i) {
    cache.put(text_of(i), issuer.token(std::string(static_cast<size_t>(i) % 250 + 1, 'x')), 10s);
    REQUIRE(cache.bytes() <= kMost);
  }
  CHECK(cache.bytes() > kMost / 2);
  CHECK(cache.find(text_of(999), 1s) != nullptr);
  CHECK(cache.find(text_of(0), 1s) == nullptr);

  TokenCache with_texts(kMost);
  with_texts.put(std::string(1000, 'a'), issuer.token(), 10s);
  with_texts.put(std::string(3000, 'b'), issuer.token(), 10s);
  CHECK(with_texts.bytes() >= 4000);  // each brings its text

  TokenCache none(0);
  none.put(text_of(1), issuer.token(), 10s);
  CHECK(none.size() == 0);
  TokenCache small(bytes_of_one());
  small.put(text_of(1), issuer.token(), 10s);
  small.put(text_of(2), issuer.token(std::string(250, 'x')), 10s);  // larger than all of it: drives out nothing
  CHECK(small.find(text_of(1), 1s) != nullptr);
  CHECK(small.find(text_of(2), 1s) == nullptr);
}
