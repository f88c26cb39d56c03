#include <catch2/catch.hpp>

#include "fake_host.h"

using namespace plugin_test;
using namespace std::chrono_literals;

namespace {

// What becomes of a request of that client.
struct Outcome {
  uint32_t status;  // 200: it passes
  std::string reason, retry_after, limit, remaining, reset;
};

Outcome ask(LoadedPlugin& plugin, const std::string& client = "192.0.2.1") {
  FakeExchange exchange(plugin);
  exchange.facts[SLUICE_CLIENT] = client;
  const bool passes = exchange.on_request() == SLUICE_CONTINUE;
  exchange.on_response();
  return {passes ? 200 : exchange.status,           exchange.reason,
          exchange.answered("Retry-After"),         exchange.received("RateLimit-Limit"),
          exchange.received("RateLimit-Remaining"), exchange.received("RateLimit-Reset")};
}

// The key that a request is counted under, without what all of an instance have.
std::string key_of(const char* key, const Fields& fields) {
  FakeHost host;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "1"}, {"key", key}}));
  FakeExchange exchange(plugin, fields);
  exchange.facts = {{SLUICE_CLIENT, "192.0.2.1"}, {SLUICE_ROUTE, "home"}};
  exchange.shared = {{"jwt.sub", "alice"}};
  exchange.on_request();
  REQUIRE(host.taken.size() == 1);
  const std::string prefix = "rl:mine:";
  REQUIRE(host.taken[0].key.substr(0, prefix.size()) == prefix);
  return host.taken[0].key.substr(prefix.size());
}

}  // namespace

TEST_CASE("ratelimit: a burst passes, then requests pass as units come back", "[ratelimit]") {
  FakeHost host;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "2"}, {"per", "10s"}, {"burst", "3"}}));
  for (int i = 0; i < 3; ++i) CHECK(ask(plugin).status == 200);
  const Outcome refused = ask(plugin);
  CHECK(refused.status == 429);
  CHECK(refused.reason == "rate_limited");
  CHECK(refused.retry_after == "5");
  host.advance(4999ms);
  CHECK(ask(plugin).retry_after == "1");  // rounded up: who comes then does pass
  host.advance(1ms);
  CHECK(ask(plugin).status == 200);
  CHECK(ask(plugin).status == 429);
  host.advance(1h);
  for (const uint32_t status : {200u, 200u, 200u, 429u}) CHECK(ask(plugin).status == status);
  CHECK(host.counted("allowed") == 7);
  CHECK(host.counted("refused") == 4);
  CHECK(host.counted("store_errors") == 0);
}

TEST_CASE("ratelimit: as many as pass in the time may come at once, if nothing else is said", "[ratelimit]") {
  FakeHost host;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "4"}}));
  for (const uint32_t status : {200u, 200u, 200u, 200u, 429u}) CHECK(ask(plugin).status == status);
  host.advance(250ms);
  for (const uint32_t status : {200u, 429u}) CHECK(ask(plugin).status == status);
}

TEST_CASE("ratelimit: the client is told what is left, passed or refused", "[ratelimit]") {
  FakeHost host;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "2"}, {"per", "3s"}}));
  const Outcome first = ask(plugin);
  CHECK(first.limit == "2");
  CHECK(first.remaining == "1");
  CHECK(first.reset == "2");  // 1.5 s, rounded up
  ask(plugin);
  const Outcome refused = ask(plugin);
  CHECK(refused.status == 429);
  CHECK(refused.limit == "2");
  CHECK(refused.remaining == "0");
  CHECK(refused.reset == "3");
}

TEST_CASE("ratelimit: the client is not told if it is not to be", "[ratelimit]") {
  FakeHost host;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "1"}, {"headers", "false"}}));
  const Outcome passed = ask(plugin);
  CHECK(passed.limit + passed.remaining + passed.reset == "---");
  const Outcome refused = ask(plugin);
  CHECK(refused.status == 429);
  CHECK(refused.retry_after == "1");
  CHECK(refused.limit == "-");
}

TEST_CASE("ratelimit: each client has a rate of its own", "[ratelimit]") {
  FakeHost host;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "1"}}));
  CHECK(ask(plugin, "192.0.2.1").status == 200);
  CHECK(ask(plugin, "192.0.2.2").status == 200);
  CHECK(ask(plugin, "192.0.2.1").status == 429);
}

TEST_CASE("ratelimit: what requests are counted by is configured", "[ratelimit]") {
  const Fields fields{{"X-Key", "k1"}, {"X-Long", std::string(600, 'a')}};
  CHECK(key_of("client", fields) == "192.0.2.1");
  CHECK(key_of("route", fields) == "home");
  CHECK(key_of("all", fields).empty());
  CHECK(key_of("header:x-key", fields) == "k1");
  CHECK(key_of("header:x-none", fields).empty());
  CHECK(key_of("header:x-long", fields) == std::string(512, 'a'));
  CHECK(key_of("shared:jwt.sub", fields) == "alice");
  CHECK(key_of("shared:jwt.iss", fields).empty());
}

TEST_CASE("ratelimit: a request waits for a store that is elsewhere", "[ratelimit]") {
  FakeHost host;
  host.store_waits = true;
  LoadedPlugin plugin(host, "ratelimit", map({{"requests", "1"}}));
  FakeExchange passed(plugin);
  FakeExchange refused(plugin);
  CHECK(passed.on_request() == SLUICE_PAUSE);
  CHECK(refused.on_request() == SLUICE_PAUSE);
  {
    FakeExchange gone(plugin);
    CHECK(gone.on_request() == SLUICE_PAUSE);
  }
  CHECK_FALSE(passed.resumed);
  host.answer_store();
  CHECK(passed.resumed == SLUICE_CONTINUE);
  CHECK_FALSE(refused.resumed);
  host.answer_store();
  CHECK(refused.resumed == SLUICE_RESPOND);
  CHECK(refused.status == 429);
  CHECK(host.counted("allowed") + host.counted("refused") == 2);  // nobody asks for who is gone
}

TEST_CASE("ratelimit: without its store the way is open, or closed as the gateway's own failure", "[ratelimit]") {
  const bool waits = GENERATE(false, true);
  const bool closed = GENERATE(false, true);
  CAPTURE(waits, closed);
  FakeHost host;
  host.store_failure = "store_timeout";
  host.store_waits = waits;
  LoadedPlugin plugin(host, "ratelimit",
                      closed ? map({{"requests", "1"}, {"on_store_error", "closed"}}) : map({{"requests", "1"}}));
  FakeExchange exchange(plugin);
  const sluice_verdict at_once = exchange.on_request();
  if (waits) {
    CHECK(at_once == SLUICE_PAUSE);
    host.answer_store();
  }
  CHECK((waits ? exchange.resumed : at_once) == (closed ? SLUICE_RESPOND : SLUICE_CONTINUE));
  CHECK(exchange.status == (closed ? 503u : 0u));
  CHECK(exchange.reason == (closed ? "store_timeout" : ""));
  CHECK(exchange.answered("Retry-After") == (closed ? "1" : "-"));
  exchange.on_response();
  CHECK(exchange.received("RateLimit-Remaining") == "-");  // nobody knows
  CHECK(host.counted("store_errors") == 1);
  CHECK(host.counted("allowed") + host.counted("refused") == 0);
}

TEST_CASE("ratelimit: what could not work is refused", "[ratelimit]") {
  using Errors = std::vector<std::string>;
  CHECK(errors_of("ratelimit", map({})) == Errors{"\"requests\" is missing: how many are allowed in each \"per\""});
  CHECK(errors_of("ratelimit", map({{"requests", "0"}})).size() == 1);
  for (const char* key : {"clients", "client:x", "header:", "header", "shared:", "route:a", "all:b"}) {
    CHECK(errors_of("ratelimit", map({{"requests", "1"}, {"key", key}})) ==
          Errors{"key: \"" + std::string(key) +
                 "\" is no key; write client, route, all, header:<name> or shared:<name>"});
  }
}
