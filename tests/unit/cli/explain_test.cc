#include "cli/explain.h"

#include <catch2/catch.hpp>

#include "control/compile.h"

using namespace sluice;
using namespace sluice::cli;

namespace {

constexpr std::string_view kConfiguration = R"(version: 1
listeners:
  public: {address: "127.0.0.1:8080"}
  inner: {address: "127.0.0.1:8081", allow_encoded_slash: true}
upstreams:
  users: {endpoints: ["127.0.0.1:9001"]}
  canary: {endpoints: ["127.0.0.1:9002"]}
routes:
  - {name: canary, match: {hosts: [api.example], path: "/u/{id:int}", headers: {x-canary: "1"}}, upstream: canary}
  - name: user
    match: {hosts: [api.example], path: "/u/{id:int}", methods: [GET]}
    split: [{upstream: users, weight: 3}, {upstream: canary}]
    rewrite: {path: "/internal/{id}", host: "{method}.internal"}
  - {name: files, match: {path: "/s/{rest...}"}, upstream: users, strip_prefix: /s}
  - {name: moved, match: {path: /old}, redirect: {to: "https://{host}{path}?{query}", status: 301}}
  - {name: fixed, match: {path: /fixed}, respond: {status: 204}}
)";

Explanation explained(std::string method, std::string url,
                      std::vector<std::pair<std::string, std::string>> headers = {}) {
  const auto compiled = control::compile_text(kConfiguration, "x.yaml");
  REQUIRE(compiled.snapshot != nullptr);
  Options options;
  options.operands = {std::move(method), std::move(url)};
  options.headers = std::move(headers);
  return explain_request(*compiled.snapshot, options);
}

}  // namespace

TEST_CASE("the winner is told with its reasons, its losers, and what goes upstream") {
  const Explanation made = explained("GET", "http://API.example:8080/a/../u/7?q=1");
  CHECK(made.exit_code == kOk);
  CHECK_THAT(made.text, Catch::Contains("listener: public, 127.0.0.1:8080\n"));
  CHECK_THAT(made.text, Catch::Contains("normalised from: /a/../u/7\n"));
  CHECK_THAT(made.text, Catch::Contains("winner: user (x.yaml:10), pattern /u/{id:int}, id=7\n"));
  CHECK_THAT(made.text, Catch::Contains("header x-canary is missing"));
  CHECK_THAT(made.text,
             Catch::EndsWith("sends: GET /internal/7?q=1 with Host GET.internal to upstream users (3 of 4) or "
                             "canary (1 of 4)\n"));
}

TEST_CASE("headers of the command line count") {
  const Explanation made = explained("POST", "/u/7", {{"Host", "api.example"}, {"X-Canary", "1"}});
  CHECK(made.exit_code == kOk);
  CHECK_THAT(made.text, Catch::EndsWith("sends: POST /u/7 with Host api.example to upstream canary\n"));
}

TEST_CASE("each kind of route tells what it does") {
  CHECK_THAT(explained("GET", "http://h/s/a/b").text,
             Catch::EndsWith("sends: GET /a/b with Host h to upstream users\n"));
  CHECK_THAT(explained("GET", "http://h/s/").text, Catch::EndsWith("sends: GET / with Host h to upstream users\n"));
  CHECK_THAT(explained("GET", "http://h:1/old?a=b").text,
             Catch::EndsWith("answers: 301, Location: https://h/old?a=b\n"));
  CHECK_THAT(explained("GET", "http://h/fixed").text, Catch::EndsWith("answers: 204, text/plain; charset=utf-8\n"));
}

TEST_CASE("a request that no route takes ends with exit code 4 and the answer it would get") {
  const Explanation none = explained("GET", "/nothing");
  CHECK(none.exit_code == kNoRoute);
  CHECK_THAT(none.text, Catch::Contains("404 no_route"));
  CHECK_THAT(none.text, Catch::Contains("host: none; write a whole URL, or add -H 'Host: ...'"));
  const Explanation wrong_method = explained("PUT", "http://api.example/u/7");
  CHECK(wrong_method.exit_code == kNoRoute);
  CHECK_THAT(wrong_method.text, Catch::Contains("405 method_not_allowed, Allow: GET, HEAD"));
}

TEST_CASE("a request that would not be routed at all is told why") {
  CHECK(explained("FETCH", "/").text ==
        "FETCH is not a method that is known here; the answer would be 501 bad_method\n");
  CHECK_THAT(explained("GET", "not a url").text, Catch::StartsWith("\"not a url\" is not a path or URL: "));
  CHECK_THAT(explained("GET", "/../x").text, Catch::StartsWith("the answer would be 400 bad_path: "));
}

TEST_CASE("the listener is the one at the URL's port, and its settings count") {
  CHECK_THAT(explained("GET", "http://h:8080/s/a%2Fb").text, Catch::StartsWith("the answer would be 400 bad_path: "));
  CHECK_THAT(explained("GET", "http://h:8081/s/a%2Fb").text, Catch::Contains("listener: inner, 127.0.0.1:8081\n"));
}
