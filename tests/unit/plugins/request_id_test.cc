#include <catch2/catch.hpp>

#include "fake_host.h"

using namespace plugin_test;

TEST_CASE("request-id: the id goes to the client, and under another name to the upstream", "[request-id]") {
  FakeHost host;
  LoadedPlugin plugin(host, "request-id", map({{"header", "X-Correlation-Id"}}));
  FakeExchange exchange(plugin, {{"X-Correlation-Id", "of a client"}});
  exchange.facts[SLUICE_REQUEST_ID] = "7";
  CHECK(exchange.on_request_start() == SLUICE_CONTINUE);
  CHECK(exchange.sent("X-Correlation-Id") == "7");
  exchange.response = {{"x-correlation-id", "of an upstream"}};
  CHECK(exchange.on_response() == SLUICE_CONTINUE);
  CHECK(exchange.received("X-Correlation-Id") == "7");
}

TEST_CASE("request-id: the client is not told if it is not to be", "[request-id]") {
  FakeHost host;
  LoadedPlugin plugin(host, "request-id", map({{"to_client", "false"}}));
  FakeExchange exchange(plugin);
  exchange.facts[SLUICE_REQUEST_ID] = "7";
  exchange.on_request();
  exchange.on_response();
  CHECK(exchange.received("X-Request-Id") == "-");
}

TEST_CASE("request-id: ids are counted by who made them, once for each request", "[request-id]") {
  const auto [sent, event] = GENERATE(values<std::pair<Fields, const char*>>({
      {{}, "made"},
      {{{"x-request-id", "7"}}, "taken_over"},
      {{{"X-Request-Id", "not 7"}}, "refused"},
      {{{"X-Request-Id", "a"}, {"X-Request-Id", "a"}}, "refused"},
  }));
  FakeHost host;
  LoadedPlugin plugin(host, "request-id", map({}));
  LoadedPlugin behind(host, "request-id", map({{"header", "X-Other"}}));
  FakeExchange exchange(plugin, sent);
  exchange.facts[SLUICE_REQUEST_ID] = "7";
  exchange.on_request_start();
  exchange.on_request();
  FakeExchange again(behind, exchange.request);  // another instance, which sees what the first one left
  again.facts[SLUICE_REQUEST_ID] = "7";
  again.on_request();
  for (const std::string each : {"made", "taken_over", "refused"}) {
    CAPTURE(each);
    CHECK(host.counted(each) == (each == event ? 2u : 0u));
  }
}

TEST_CASE("request-id: the gateway's own X-Request-Id is the only one of its headers", "[request-id]") {
  CHECK(errors_of("request-id", map({{"header", "x-request-id"}})).empty());
  CHECK(errors_of("request-id", map({{"header", "X-Forwarded-For"}})).size() == 1);
  CHECK(errors_of("request-id", map({{"header", ""}})) ==
        std::vector<std::string>{"header: \"\" is not the name of a header"});
}
