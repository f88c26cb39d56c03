// Names under which plugins tell upstreams something: those that the gateway makes itself after all plugins are refused, or what was
// configured would be lost without a word.
#include <catch2/catch.hpp>

#include "fake_host.h"

using namespace plugin_test;
using Errors = std::vector<std::string>;

namespace {

constexpr const char* kRemade[] = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",    "Forwarded",
                                   "X-Request-Id",    "traceparent",       "Proxy-Authorization", "Proxy-Authenticate",
                                   "x-request-ID",    "x_forwarded_for"};
const std::string kNotToBeSet = " would not arrive, since the gateway makes it anew for upstreams; name another header";
const std::string kHash = "$5$salt$" + std::string(43, 'a');

Errors api_key(const std::string& name) {
  return errors_of("api-key", map({{"consumer_header", name}, {"keys_file", "f"}}), {{"f", "a: b"}});
}
Errors basic_auth(const std::string& name) {
  return errors_of("basic-auth", map({{"header", name}, {"passwords_file", "f"}}), {{"f", "a:" + kHash}});
}
Errors jwt(const std::string& name) {
  const Value key = map({{"secret", std::string(32, 's')}});
  return errors_of("jwt", map({{"keys", key}, {"claims_to_headers", map({{"sub", name}})}}));
}
Errors session(const std::string& prefix) { return errors_of("session", map({{"header_prefix", prefix}})); }

}  // namespace

TEST_CASE("a plugin that tells upstreams something does so under a name that arrives", "[names]") {
  for (const std::string name : kRemade) {
    CAPTURE(name);
    CHECK(api_key(name) == Errors{"consumer_header: " + name + kNotToBeSet});
    CHECK(basic_auth(name) == Errors{"header: " + name + kNotToBeSet});
    CHECK(jwt(name) == Errors{"claims_to_headers.sub: " + name + kNotToBeSet});
  }
  for (const auto& errors_for : {api_key, basic_auth, jwt}) {
    CHECK(errors_for("X-User").empty());
    CHECK(errors_for("X User").size() == 1);
    CHECK(errors_for("transfer-encoding").size() == 1);
  }
  CHECK(api_key("").empty());  // none
  CHECK(basic_auth("authorization") == Errors{"header: the credentials are there; name another header"});
}

TEST_CASE("headers sets in requests what arrives, and in responses what it likes", "[names]") {
  const auto errors = [](const char* direction, const char* edit, Value edited) {
    return errors_of("headers", map({{direction, map({{edit, std::move(edited)}})}}));
  };
  for (const std::string name : kRemade) {
    CAPTURE(name);
    for (const std::string edit : {"set", "add", "default"}) {
      CHECK(errors("request", edit.c_str(), map({{name, "v"}})) ==
            Errors{"request." + edit + "." + name +
                   ": it would not arrive, since the gateway makes it anew for upstreams; set it by `headers` of a "
                   "route"});
      CHECK(errors("response", edit.c_str(), map({{name, "v"}})).empty());
    }
    CHECK(errors("request", "remove", list({name})).empty());
  }
}

TEST_CASE("what session takes out is never the gateway's", "[names]") {
  const auto refused = [](const std::string& name) {
    return Errors{"header_prefix: " + name +
                  " begins so, which is the gateway's own; choose another one, as X-Session-"};
  };
  CHECK(session("X-Login-").empty());
  CHECK(session("X-Forwarded-For-").empty());
  CHECK(session("x-forwarded-") == refused("X-Forwarded-For"));
  CHECK(session("X-Request-") == refused("X-Request-Id"));
  CHECK(session("Keep-") == refused("Keep-Alive"));
  CHECK(session("Content-") == refused("Content-Length"));
}
