// What a token costs the jwt plugin: verified, and remembered. "told" is what a hit has to copy out for the exchange, as the host does.
// The last part is latencies: 10,000 tokens in turn, each as often as the others, which is the worst order for a cache.
#include <string>
#include <vector>

#include "../token_maker.h"
#include "bench.h"
#include "common/sha256.h"
#include "jwt/token_cache.h"
#include "jwt/verifier.h"

using namespace sluice;
using namespace sluice::jwt;
using jwt_test::Signer;

namespace {

constexpr Micros kNow{1'700'000'000'000'000};

std::string claims_of(size_t user) {
  return R"({"iss":"https://id.example.com/","sub":"user-)" + std::to_string(user) +
         R"(","aud":["api","https://api.example.com/"],"iat":1699999000,"exp":1700003600,"jti":"f0e1d2c3-)" +
         std::to_string(user) +
         R"(","scope":"openid profile read write","tier":"gold","azp":"mobile-app","email":"user@example.com"})";
}

// One worker's memory, as jwt.cc has it.
class Desk {
 public:
  explicit Desk(const Signer& signer, bool remembers = true)
      : keys_(parse_keys("{\"keys\":[" + signer.jwk(R"(,"kid":"one")") + "]}", {})->keys),
        verifier_(rules()),
        cache_(remembers ? 16 << 20 : 0) {}

  bool accept(std::string_view token) {
    if (const VerifiedToken* known = cache_.find(token, kNow)) {
      tell(*known);
      return known->refusal_at(kNow) == Refusal::none;
    }
    VerifiedToken fresh;
    const Keys* sets[] = {&keys_};
    if (verifier_.verify(token, sets, kNow, fresh) != Refusal::none) return false;
    tell(fresh);
    cache_.put(token, std::move(fresh), kNow + Micros(300'000'000));
    return true;
  }
  [[nodiscard]] const TokenCache& cache() const { return cache_; }

 private:
  static const TokenRules& rules() {
    static const TokenRules rules = [] {
      TokenRules made;
      made.headers = {{"sub", "X-User"}, {"tier", "X-Tier"}};
      return made;
    }();
    return rules;
  }
  void tell(const VerifiedToken& token) {
    size_t at = 0;
    const auto copy = [&](std::string_view name, std::string_view value) {
      at += name.copy(arena_ + at, sizeof(arena_) - at);
      at += value.copy(arena_ + at, sizeof(arena_) - at);
    };
    token.for_each_shared(copy);
    token.for_each_header(copy);
    bench::keep(arena_);
  }

  Keys keys_;
  Verifier verifier_;
  TokenCache cache_;
  char arena_[16384];
};

void must(bool good) {
  if (!good) std::abort();
}

void print_latencies(const char* name, Desk& desk, const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) must(desk.accept(token));
  std::vector<double> nanos;
  for (int round = 0; round < 5; ++round) {
    for (const std::string& token : tokens) {
      const auto begin = std::chrono::steady_clock::now();
      must(desk.accept(token));
      nanos.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count());
    }
  }
  std::sort(nanos.begin(), nanos.end());
  std::printf("%-40s p50 %8.0f ns   p99 %8.0f ns   %zu tokens remembered in %zu KiB\n", name, nanos[nanos.size() / 2],
              nanos[nanos.size() * 99 / 100], desk.cache().size(), desk.cache().bytes() / 1024);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Runner runner(argc, argv);
  const Signer signers[] = {Signer::secret(std::string(32, 'k')), Signer::rsa("RS256"), Signer::ec("ES256", "P-256"),
                            Signer::ed25519()};
  for (const Signer& signer : signers) {
    const std::string token = signer.token(claims_of(1), R"(,"kid":"one","typ":"JWT")");
    Desk desk(signer, false);
    runner.run(signer.algorithm() + " verified", [&] { must(desk.accept(token)); });
  }
  for (const Signer& signer : signers) {
    const std::string token = signer.token(claims_of(1), R"(,"kid":"one","typ":"JWT")");
    Desk desk(signer);
    runner.run(signer.algorithm() + " remembered", [&] { must(desk.accept(token)); });
  }
  {
    const Sha256 sha256;
    const std::string token = signers[1].token(claims_of(1), R"(,"kid":"one","typ":"JWT")");
    const Digest secret = random_digest();
    runner.run("SHA-256 of an RS256 token", [&] { bench::keep(sha256({as_text(secret), token})); });
  }
  for (const Signer& signer : {signers[1], signers[2]}) {
    const std::string name = "10000 tokens, " + signer.algorithm();
    if (!runner.wants(name)) continue;
    std::vector<std::string> tokens;
    for (size_t i = 0; i < 10'000; ++i) tokens.push_back(signer.token(claims_of(i), R"(,"kid":"one","typ":"JWT")"));
    Desk without(signer, false);
    Desk with(signer);
    print_latencies((name + ", verified").c_str(), without, tokens);
    print_latencies((name + ", remembered").c_str(), with, tokens);
  }
}
