#include "control/diff.h"

#include <catch2/catch.hpp>

#include "base/random.h"
#include "control/compile.h"

using namespace sluice::control;

namespace {

// What /config shows of a configuration, which is what diff() reads.
std::string shown(const std::string& yaml) {
  const CompileResult result =
      compile_text("version: 1\nlisteners: {public: {address: \"127.0.0.1:8080\"}}\n" + yaml, "t");
  for (const Diagnostic& error : result.errors) FAIL(to_text(error, Severity::error, false));
  return result.snapshot->redacted_yaml;
}

using Sentences = std::vector<std::string>;

Sentences changes(const std::string& before, const std::string& now) { return diff(shown(before), shown(now)); }

const std::string kRoute = "routes: [{name: a, match: {path: /a}, respond: {body: one}}]\n";

}  // namespace

TEST_CASE("equal configurations do not differ", "[diff]") { CHECK(changes(kRoute, kRoute).empty()); }

TEST_CASE("a value is told with what it was", "[diff]") {
  CHECK(changes(kRoute, "routes: [{name: a, match: {path: /a}, respond: {body: two}, timeout: 5s}]\n") ==
        Sentences{"route \"a\": respond.body: one -> two", "route \"a\": timeout: set to 5s"});
  CHECK(changes("process: {workers: 2}\n", "process: {workers: 4}\n") == Sentences{"process: workers: 2 -> 4"});
  CHECK(changes("process: {workers: 2}\n", "process: {max_connections: 9}\n") ==
        Sentences{"process: max_connections: set to 9", "process: workers: no longer set (was 2)"});
}

TEST_CASE("routes, upstreams and listeners that come and go are named", "[diff]") {
  const std::string more =
      "upstreams: {\"user-api\": {endpoints: [\"127.0.0.1:1\"]}}\n"
      "routes:\n  - {match: {path: \"/x:y\"}, upstream: user-api}\n"
      "  - {name: a, match: {path: /a}, respond: {body: one}}\n";
  CHECK(changes(kRoute, more) == Sentences{"upstream \"user-api\": added", "route \"/x:y\": added"});
  CHECK(changes(more, kRoute) == Sentences{"upstream \"user-api\": removed", "route \"/x:y\": removed"});
}

TEST_CASE("stores are named", "[diff]") {
  const std::string before = kRoute + "stores: {a: {type: memory, max_bytes: 1MiB}, b: {type: memory}}\n";
  const std::string now =
      kRoute + "stores: {a: {type: memory, max_bytes: 2MiB}, c: {type: redis, address: [\"127.0.0.1:1\"]}}\n";
  CHECK(changes(before, now) ==
        Sentences{"store \"a\": max_bytes: 1MiB -> 2MiB", "store \"c\": added", "store \"b\": removed"});
}

TEST_CASE("elements of a list are known by their first value, wherever they stand", "[diff]") {
  const auto upstream = [](const std::string& endpoints) {
    return "upstreams: {u: {endpoints: [" + endpoints + "]}}\nroutes: [{match: {path: /}, upstream: u}]\n";
  };
  CHECK(changes(upstream("\"127.0.0.1:2\""), upstream("\"127.0.0.1:1\", \"127.0.0.1:2\"")) ==
        Sentences{"upstream \"u\": endpoints[127.0.0.1:1]: added"});
  CHECK(changes(upstream("{address: \"127.0.0.1:1\", weight: 2}"), upstream("{address: \"127.0.0.1:1\", weight: 3}")) ==
        Sentences{"upstream \"u\": endpoints[127.0.0.1:1].weight: 2 -> 3"});
}

TEST_CASE("routes in another order are a change, for it decides among equals", "[diff]") {
  const std::string a = "{name: a, match: {path: /a}, respond: {}}", b = "{name: b, match: {path: /b}, respond: {}}";
  CHECK(changes("routes: [" + a + ", " + b + "]\n", "routes: [" + b + ", " + a + "]\n") ==
        Sentences{"routes: their order changed, which decides among equal matches"});
}

TEST_CASE("routes without a name are told apart by their place among equals", "[diff]") {
  const std::string one = "{match: {path: /a, methods: [GET]}, respond: {body: x}}";
  const auto two = [&](const std::string& body) {
    return "routes: [" + one + ", {match: {path: /a}, respond: {body: " + body + "}}]\n";
  };
  CHECK(changes(two("y"), two("z")) == Sentences{"route \"/a\" #2: respond.body: y -> z"});
}

TEST_CASE("texts that no gateway shows are survived", "[diff]") {
  // `sluice diff` reads whatever answers where it expects an admin listener.
  constexpr std::string_view kPieces[] = {
      "routes:", "upstreams:", "\n", "\n  ", "\n    ",           "- ",  ":", ": ", "\"", "\\", "name", "path: ",
      "x",       "\t",         " ",  "\xff", "listeners:\n  a:", "\"\\"};
  sluice::Random random(7);
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (uint32_t pieces = random.below(40); pieces > 0; --pieces) {
      text += kPieces[random.below(static_cast<uint32_t>(std::size(kPieces)))];
    }
    INFO(text);
    CHECK(diff(text, text).empty());
    CHECK(diff(text, shown(kRoute)).size() < 200);
  }
}
