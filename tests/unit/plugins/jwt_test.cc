// The plugin jwt as it was built, with an issuer whose answers are the test's.
#include <catch2/catch.hpp>
#include <deque>

#include "../../token_maker.h"
#include "fake_host.h"

using namespace plugin_test;
using namespace std::chrono_literals;
using sluice::jwt_test::Signer;

namespace {

const Signer& first() {
  static const Signer signer = Signer::ec("ES256", "P-256");
  return signer;
}
const Signer& second() {
  static const Signer signer = Signer::ec("ES256", "P-256");
  return signer;
}

std::string key(const Signer& signer, const std::string& id) { return signer.jwk(R"(,"kid":")" + id + "\""); }
std::string set_of(const std::string& keys) { return "{\"keys\":[" + keys + "]}"; }

struct World {
  World() { host.answer_http(200, set_of(key(first(), "a"))); }

  // The host's clock shows `now` since the epoch too.
  [[nodiscard]] std::string token(const Signer& signer, const std::string& id, std::chrono::seconds lives = 1h,
                                  std::chrono::seconds from = -1h) const {
    const auto wall = std::chrono::duration_cast<std::chrono::seconds>(host.now);
    return signer.token("{\"sub\":\"alice\",\"nbf\":" + std::to_string((wall + from).count()) +
                            ",\"exp\":" + std::to_string((wall + lives).count()) + "}",
                        R"(,"kid":")" + id + "\"");
  }
  // "good", "waits", or the reason of the refusal.
  std::string ask(const std::string& token) {
    FakeExchange exchange(plugin, {{"Authorization", "Bearer " + token}});
    const sluice_verdict verdict = exchange.on_request_start();
    return verdict == SLUICE_CONTINUE ? "good" : verdict == SLUICE_PAUSE ? "waits" : exchange.reason;
  }

  FakeHost host;
  LoadedPlugin plugin{host, "jwt",
                      map({{"keys", map({{"jwks", map({{"upstream", "issuer"}})}})},
                           {"cache", map({{"ttl", "100s"}})},
                           {"skew", "0s"}})};
};

}  // namespace

TEST_CASE("jwt: a good token is verified once, until it is forgotten", "[jwt]") {
  World world;
  const std::string token = world.token(first(), "a");
  CHECK(world.ask(token) == "good");
  world.host.advance(100s - 1us);
  CHECK(world.ask(token) == "good");
  CHECK(world.host.counted("verify") == 1);
  CHECK(world.host.counted("cached") == 1);
  world.host.advance(1us);
  CHECK(world.ask(token) == "good");
  CHECK(world.host.counted("verify") == 2);
  CHECK(world.host.counted("accepted") == 3);
}

TEST_CASE("jwt: a token that is remembered is good for its own time", "[jwt]") {
  World world;
  const std::string token = world.token(first(), "a", 10s);
  CHECK(world.ask(token) == "good");
  world.host.advance(10s - 1us);
  CHECK(world.ask(token) == "good");
  world.host.advance(1us);
  CHECK(world.ask(token) == "jwt_expired");
  CHECK(world.host.counted("verify") == 1);
  CHECK(world.host.counted("expired") == 1);
}

TEST_CASE("jwt: a bad token is verified once a minute", "[jwt]") {
  World world;
  const std::string token = world.token(second(), "a");
  CHECK(world.ask(token) == "jwt_signature");
  world.host.advance(60s - 1us);
  CHECK(world.ask(token) == "jwt_signature");
  CHECK(world.host.counted("verify") == 1);
  world.host.advance(1us);
  CHECK(world.ask(token) == "jwt_signature");
  CHECK(world.host.counted("verify") == 2);
  CHECK(world.host.counted("signature") == 3);
}

TEST_CASE("jwt: bad tokens, however many, drive out no good one", "[jwt]") {
  World world;
  const std::string token = world.token(first(), "a");
  CHECK(world.ask(token) == "good");
  for (int i = 0; i < 5000; ++i) REQUIRE(world.ask("x" + std::to_string(i)) == "jwt_malformed");
  CHECK(world.ask(token) == "good");
  CHECK(world.host.counted("cached") == 1);
}

TEST_CASE("jwt: a token that is not valid yet is not remembered as bad", "[jwt]") {
  World world;
  const std::string token = world.token(first(), "a", 1h, 5s);
  CHECK(world.ask(token) == "jwt_not_yet_valid");
  world.host.advance(5s);
  CHECK(world.ask(token) == "good");
}

TEST_CASE("jwt: with another set of keys, tokens are judged anew", "[jwt]") {
  World world;
  const std::string old = world.token(first(), "a");
  const std::string fresh = world.token(second(), "a");
  CHECK(world.ask(old) == "good");
  CHECK(world.ask(fresh) == "jwt_signature");
  world.host.advance(11s);
  CHECK(world.ask(world.token(first(), "b")) == "waits");  // so a fetch begins
  world.host.answer_http(200, set_of(key(second(), "a")));
  CHECK(world.ask(old) == "jwt_signature");
  CHECK(world.ask(fresh) == "good");
}

TEST_CASE("jwt: tokens with keys that nobody has make one fetch an interval", "[jwt]") {
  World world;
  const size_t before = world.host.http_requests;
  for (int i = 0; i < 10; ++i) CHECK(world.ask(world.token(second(), "x" + std::to_string(i))) == "jwt_key_unknown");
  CHECK(world.host.http_requests == before);
  world.host.advance(10s);
  for (int i = 0; i < 10; ++i) CHECK(world.ask(world.token(second(), "x" + std::to_string(i))) == "waits");
  CHECK(world.host.http_requests == before + 1);
  world.host.answer_http(200, set_of(key(first(), "a")));
  for (int i = 0; i < 10; ++i) CHECK(world.ask(world.token(second(), "x" + std::to_string(i))) == "jwt_key_unknown");
  CHECK(world.host.http_requests == before + 1);
}

TEST_CASE("jwt: who waits for a key is told when it has come, or has not", "[jwt]") {
  World world;
  world.host.advance(10s);
  FakeExchange good(world.plugin, {{"Authorization", "Bearer " + world.token(second(), "b")}});
  FakeExchange bad(world.plugin, {{"Authorization", "Bearer " + world.token(second(), "c")}});
  CHECK(good.on_request() == SLUICE_PAUSE);
  CHECK(bad.on_request() == SLUICE_PAUSE);
  CHECK_FALSE(good.resumed);
  world.host.answer_http(200, set_of(key(first(), "a") + "," + key(second(), "b")));
  CHECK(good.resumed == SLUICE_CONTINUE);
  CHECK(bad.resumed == SLUICE_RESPOND);
  CHECK(bad.status == 401);
  CHECK(bad.reason == "jwt_key_unknown");
}

TEST_CASE("jwt: while nobody can know, nobody is refused for good", "[jwt]") {
  World world;
  world.host.advance(10s);
  FakeExchange waits(world.plugin, {{"Authorization", "Bearer " + world.token(second(), "b")}});
  CHECK(waits.on_request() == SLUICE_PAUSE);
  world.host.answer_http(503, "");
  CHECK(waits.resumed == SLUICE_RESPOND);
  CHECK(waits.status == 503);
  CHECK(waits.reason == "jwks_unavailable");
  CHECK(waits.answered("Retry-After") == "2");
  CHECK(world.ask(world.token(second(), "b")) == "jwks_unavailable");
  CHECK(world.ask(world.token(first(), "a")) == "good");  // the last set goes on
  CHECK(world.host.counted("unavailable") == 2);
}

TEST_CASE("jwt: no more than 1024 wait for a key, each for its time", "[jwt]") {
  World world;
  world.host.advance(10s);
  const std::string token = world.token(second(), "b");
  std::deque<FakeExchange> waiting;
  for (int i = 0; i < 1024; ++i) {
    REQUIRE(waiting.emplace_back(world.plugin, Fields{{"Authorization", "Bearer " + token}}).on_request() ==
            SLUICE_PAUSE);
  }
  CHECK(world.ask(token) == "jwks_unavailable");
  waiting.pop_front();
  CHECK(world.ask(token) == "waits");  // there is room again
  world.host.advance(1h);
  for (const FakeExchange& exchange : waiting) REQUIRE(exchange.resumed == SLUICE_RESPOND);
  CHECK(waiting.front().reason == "jwks_unavailable");
}
