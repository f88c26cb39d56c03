#include <catch2/catch.hpp>

#include "fake_host.h"

using namespace plugin_test;

namespace {

const Value kEdits = map({{"remove", list({"X-Gone", "X-Never"})},
                          {"set", map({{"X-Set", "new"}})},
                          {"add", map({{"X-Add", "2"}})},
                          {"default", map({{"X-Default", "d"}, {"X-Set", "no"}, {"X-Gone", "again"}})}});
const Fields kCame{{"X-Gone", "1"}, {"x-gone", "2"}, {"x-set", "old"}, {"X-Set", "older"}, {"X-Add", "1"}};

}  // namespace

TEST_CASE("headers: edits are made in the order remove, set, add, default", "[headers]") {
  FakeHost host;
  LoadedPlugin plugin(host, "headers", map({{"request", kEdits}, {"response", kEdits}}));
  FakeExchange exchange(plugin, kCame);
  CHECK(exchange.on_request_start() == SLUICE_CONTINUE);
  exchange.response = kCame;
  CHECK(exchange.received("X-Gone") == "1,2");
  CHECK(exchange.on_response() == SLUICE_CONTINUE);
  for (const std::string& gone : {exchange.sent("X-Gone"), exchange.received("X-Gone")}) CHECK(gone == "again");
  for (const std::string& set : {exchange.sent("X-Set"), exchange.received("X-Set")}) CHECK(set == "new");
  for (const std::string& add : {exchange.sent("X-Add"), exchange.received("X-Add")}) CHECK(add == "1,2");
  for (const std::string& added : {exchange.sent("X-Default"), exchange.received("X-Default")}) CHECK(added == "d");
}

TEST_CASE("headers: a request is edited in its first phase, once", "[headers]") {
  FakeHost host;
  LoadedPlugin plugin(host, "headers", map({{"request", map({{"add", map({{"X-Add", "1"}})}})}}));
  FakeExchange of_a_listener(plugin);
  of_a_listener.on_request_start();
  CHECK(of_a_listener.sent("X-Add") == "1");
  of_a_listener.on_request();
  CHECK(of_a_listener.sent("X-Add") == "1");
  FakeExchange of_a_route(plugin);
  of_a_route.on_request();
  CHECK(of_a_route.sent("X-Add") == "1");
  CHECK(host.counted("request_added") == 2);
}

TEST_CASE("headers: what edits came to is counted, by direction", "[headers]") {
  FakeHost host;
  LoadedPlugin plugin(host, "headers", map({{"request", kEdits}, {"response", kEdits}}));
  FakeExchange exchange(plugin, kCame);
  exchange.on_request();
  CHECK(host.counted("request_removed") == 1);  // X-Never was not there
  CHECK(host.counted("request_set") == 1);
  CHECK(host.counted("request_added") == 3);  // of the defaults, X-Set was there
  CHECK(host.counted("response_removed") + host.counted("response_set") + host.counted("response_added") == 0);
  exchange.response = {{"X-Default", "theirs"}, {"X-Gone", "1"}};
  exchange.on_response();
  CHECK(exchange.received("X-Default") == "theirs");
  CHECK(host.counted("response_removed") == 1);
  CHECK(host.counted("response_set") == 1);
  CHECK(host.counted("response_added") == 2);
}

TEST_CASE("headers: the fields for security are defaults of the response", "[headers]") {
  FakeHost host;
  const Value hsts = map({{"max_age", "8760h"}, {"include_subdomains", "true"}, {"preload", "true"}});
  LoadedPlugin plugin(host, "headers", map({{"security", map({{"frame_options", "sameorigin"}, {"hsts", hsts}})}}));
  FakeExchange exchange(plugin);
  exchange.response = {{"Referrer-Policy", "origin"}};
  exchange.on_request();
  exchange.on_response();
  CHECK(exchange.request.empty());
  CHECK(exchange.received("X-Content-Type-Options") == "nosniff");
  CHECK(exchange.received("X-Frame-Options") == "SAMEORIGIN");
  CHECK(exchange.received("Referrer-Policy") == "origin");
  CHECK(exchange.received("Strict-Transport-Security") == "max-age=31536000; includeSubDomains; preload");
}

TEST_CASE("headers: what it could not do is refused", "[headers]") {
  const auto errors = [](Value request) { return errors_of("headers", map({{"request", std::move(request)}})); };
  using Errors = std::vector<std::string>;
  CHECK(errors_of("headers", map({})) == Errors{"one of \"request\", \"response\" and \"security\" must be there"});
  CHECK(errors(map({{"set", map({{"Host", "x"}})}})) ==
        Errors{"request.set.Host: Host is the gateway's own and cannot be changed"});
  CHECK(errors(map({{"remove", list({"a b"})}})) == Errors{"request.remove.0: \"a b\" is not the name of a header"});
  CHECK(errors(map({{"add", map({{"X-A", "1\n2"}})}})) ==
        Errors{"request.add.X-A: the value has control characters, or white space at an end"});
}
