#include <catch2/catch.hpp>

#include "fake_host.h"

using namespace plugin_test;

namespace {

// printf %s KEY | sha256sum
const char* const kOfOne = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const char* const kOfTwo = "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
const Value kKeys = map({{"billing", list({kOfOne, kOfTwo})}});

Value config_of(std::initializer_list<std::pair<std::string, Value>> more) {
  Value config = map(more);
  config.entries.emplace_back("keys", kKeys);
  return config;
}

// "accepted", or the reason of the refusal.
std::string verdict_of(const Value& config, const Fields& fields, const std::string& query = "") {
  FakeHost host;
  LoadedPlugin plugin(host, "api-key", config);
  FakeExchange exchange(plugin, fields);
  exchange.facts[SLUICE_QUERY] = query;
  const std::string verdict = exchange.on_request_start() == SLUICE_CONTINUE ? "accepted" : exchange.reason;
  const std::string event = verdict == "accepted" ? verdict : verdict.substr(std::string("api_key_").size());
  for (const std::string each : {"accepted", "missing", "invalid"}) CHECK(host.counted(each) == (each == event));
  CHECK(exchange.status == (verdict == "accepted" ? 0u : 401u));
  return verdict;
}

}  // namespace

TEST_CASE("api-key: who brings a key passes, and others are told whose it is", "[api-key]") {
  FakeHost host;
  LoadedPlugin plugin(host, "api-key", config_of({{"consumer_header", "X-Consumer"}}));
  FakeExchange exchange(plugin,
                        {{"x-api-key", "one"}, {"X-Consumer", "root"}, {"x_consumer", "root"}, {"X-Other", "o"}});
  CHECK(exchange.on_request_start() == SLUICE_CONTINUE);
  CHECK(exchange.on_request() == SLUICE_CONTINUE);  // asked once: the key is gone by now
  CHECK(exchange.request == Fields{{"X-Other", "o"}, {"X-Consumer", "billing"}});
  CHECK(exchange.shared == std::map<std::string, std::string>{{"auth.user", "billing"}, {"consumer", "billing"}});
  CHECK(host.counted("accepted") == 1);
}

TEST_CASE("api-key: for a route it asks after the match", "[api-key]") {
  FakeHost host;
  LoadedPlugin plugin(host, "api-key", config_of({}));
  FakeExchange exchange(plugin);
  CHECK(exchange.on_request() == SLUICE_RESPOND);
  CHECK(exchange.reason == "api_key_missing");
}

TEST_CASE("api-key: a consumer has several keys, of which each is good", "[api-key]") {
  const Value config = config_of({});
  CHECK(verdict_of(config, {{"X-API-Key", "one"}}) == "accepted");
  CHECK(verdict_of(config, {{"X-API-Key", "two"}}) == "accepted");
  for (const std::string key : {"", "on", "onee", "One", "three", kOfOne}) {
    CAPTURE(key);
    CHECK(verdict_of(config, {{"X-API-Key", key}}) == "api_key_invalid");
  }
  CHECK(verdict_of(config, {}) == "api_key_missing");
  CHECK(verdict_of(config, {{"Authorization", "ApiKey one"}}) == "api_key_missing");  // nobody looks there
}

TEST_CASE("api-key: one key is brought, in one place", "[api-key]") {
  const Value config = config_of({{"scheme", "Bearer"}, {"query", "key"}});
  const Fields in_header{{"X-API-Key", "one"}};
  const Fields in_authorization{{"Authorization", "bearer  one"}};
  CHECK(verdict_of(config, in_header) == "accepted");
  CHECK(verdict_of(config, in_authorization) == "accepted");
  CHECK(verdict_of(config, {}, "a=1&key=one") == "accepted");
  CHECK(verdict_of(config, {{"X-API-Key", "one"}, {"X-API-Key", "one"}}) == "api_key_invalid");
  CHECK(verdict_of(config, {{"X-API-Key", "one"}, {"Authorization", "Bearer one"}}) == "api_key_invalid");
  CHECK(verdict_of(config, in_header, "key=one") == "api_key_invalid");
  CHECK(verdict_of(config, {}, "key=one&key=one") == "api_key_invalid");
}

TEST_CASE("api-key: a key in the query may be percent-encoded", "[api-key]") {
  const Value config = config_of({{"header", ""}, {"query", "key"}});
  CHECK(verdict_of(config, {}, "key=%6F%6ee") == "accepted");
  for (const std::string query : {"key=", "key=%6", "key=%", "key=%7gne", "key=%ZZne", "key=one+"}) {
    CAPTURE(query);
    CHECK(verdict_of(config, {}, query) == "api_key_invalid");
  }
  for (const std::string query : {"", "key", "KEY=one", "a=key=one", "&&", "keys=one"}) {
    CAPTURE(query);
    CHECK(verdict_of(config, {}, query) == "api_key_missing");
  }
}

TEST_CASE("api-key: a key has at most 1024 bytes", "[api-key]") {
  const Value keys = map({{"longest", "sha256:fb236ae29378d0cf16cdc6b4b5b9f82d6642514a61b60542efd33641eab2662d"},
                          {"longer", "sha256:011cc8dcade24f43d2d7f95605d8481da1d0b86475def49be02bfc20cee86e65"}});
  const Value config = map({{"keys", keys}, {"query", "key"}});
  const std::string longest(1024, 'k');
  CHECK(verdict_of(config, {{"X-API-Key", longest}}) == "accepted");
  CHECK(verdict_of(config, {{"X-API-Key", longest + "k"}}) == "api_key_invalid");
  CHECK(verdict_of(config, {}, "key=%6b" + longest.substr(1)) == "accepted");
  CHECK(verdict_of(config, {}, "key=" + longest + "k") == "api_key_invalid");
}

TEST_CASE("api-key: only the key is taken out of the request, unless it is to go on", "[api-key]") {
  const bool forwards = GENERATE(false, true);
  CAPTURE(forwards);
  FakeHost host;
  LoadedPlugin plugin(host, "api-key", config_of({{"scheme", "Key"}, {"forward_key", forwards ? "true" : "false"}}));
  FakeExchange in_header(plugin, {{"X-API-Key", "one"}, {"Authorization", "Basic YTpi"}});
  CHECK(in_header.on_request() == SLUICE_CONTINUE);
  CHECK(in_header.sent("X-API-Key") == (forwards ? "one" : "-"));
  CHECK(in_header.sent("Authorization") == "Basic YTpi");  // the upstream's
  FakeExchange in_authorization(plugin, {{"Authorization", "key one"}});
  CHECK(in_authorization.on_request() == SLUICE_CONTINUE);
  CHECK(in_authorization.sent("Authorization") == (forwards ? "key one" : "-"));
}

TEST_CASE("api-key: a key in one of several Authorization fields does not slip through to the upstream", "[api-key]") {
  const Value config = config_of({{"scheme", "Bearer"}});
  CHECK(verdict_of(config, {{"Authorization", "Basic YTpi"}, {"Authorization", "Bearer one"}}) == "api_key_invalid");
  CHECK(verdict_of(config, {{"Authorization", "Bearer one"}, {"Authorization", "Basic YTpi"}}) == "api_key_invalid");
}

TEST_CASE("api-key: who is refused is told how to ask", "[api-key]") {
  const auto challenge = [](const Value& config) {
    FakeHost host;
    LoadedPlugin plugin(host, "api-key", config);
    FakeExchange exchange(plugin);
    exchange.on_request();
    return exchange.answered("WWW-Authenticate");
  };
  CHECK(challenge(config_of({})) == "ApiKey realm=\"api\"");
  CHECK(challenge(config_of({{"scheme", "Bearer"}, {"realm", "shop"}})) == "Bearer realm=\"shop\"");
}

TEST_CASE("api-key: keys stand in a file, hashed or as they are", "[api-key]") {
  FakeHost host;
  host.files["keys"] = "# ours\r\n\n billing : one \r\nmobile:" + std::string(kOfTwo) + "\nlast: a:b";
  LoadedPlugin plugin(host, "api-key", map({{"keys_file", "keys"}}));
  const auto consumer = [&](const char* key) {
    FakeExchange exchange(plugin, {{"X-API-Key", key}});
    exchange.on_request();
    return exchange.shared["consumer"];
  };
  CHECK(consumer("one") == "billing");
  CHECK(consumer("two") == "mobile");
  CHECK(consumer("a:b") == "last");
  CHECK(consumer("three").empty());
}

TEST_CASE("api-key: mistakes in a file are told by their lines, without the keys", "[api-key]") {
  using Errors = std::vector<std::string>;
  const auto errors = [](const std::string& content) {
    return errors_of("api-key", map({{"keys_file", "keys"}}), {{"keys", content}});
  };
  CHECK(errors("#\n") == Errors{"keys_file: there is no key in it"});
  CHECK(errors("a: one\nsecret\nb:\nc: sha256:12\n") ==
        Errors{"keys_file: line 2 is not of the form consumer: key",
               "keys_file: line 3 is not of the form consumer: key",
               "keys_file: line 4 has a sha256: that is not followed by 64 hex digits"});
  CHECK(errors("a: one\nb: " + std::string(kOfOne)) == Errors{"keys_file: a key of \"b\" is there twice"});
  CHECK(errors(": one") == Errors{"keys_file: \"\" is not the name of a consumer", "keys_file: there is no key in it"});
}

TEST_CASE("api-key: what could not work is refused", "[api-key]") {
  using Errors = std::vector<std::string>;
  const auto errors = [](std::initializer_list<std::pair<std::string, Value>> more) {
    return errors_of("api-key", config_of(more));
  };
  CHECK(errors({}).empty());
  CHECK(errors_of("api-key", map({})) == Errors{"keys are missing: \"keys\" or \"keys_file\""});
  CHECK(errors_of("api-key", map({{"keys", map({{"billing", "one"}})}})) ==
        Errors{"keys.billing: keys stand here as sha256:<64 hex digits>, as of: printf %s KEY | sha256sum"});
  CHECK(errors({{"header", ""}}) ==
        Errors{"nothing is looked at: name a \"header\", a \"query\" parameter or a \"scheme\" of Authorization"});
  CHECK(errors({{"header", "a b"}}) == Errors{"header: \"a b\" is not a name"});
  CHECK(errors({{"scheme", "BASIC"}}) == Errors{"scheme: that is for the plugin basic-auth"});
  CHECK(errors({{"realm", "a\"b"}}) == Errors{"realm: a realm holds no quotes, backslashes and control characters"});
}
