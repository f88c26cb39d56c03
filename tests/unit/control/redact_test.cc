#include "control/redact.h"

#include <stdlib.h>

#include <catch2/catch.hpp>

#include "control/compile.h"
#include "temporary_folder.h"
#include "text_of.h"

using namespace sluice::control;

TEST_CASE("the shown configuration has includes joined and secrets hidden") {
  ::setenv("SLUICE_TEST_SECRET", "hunter2-from-the-environment", 1);
  const TemporaryFolder folder;
  folder.write("token", "correct-horse-battery");
  folder.write("routes.d/a.yaml",
               "routes:\n  - {match: {path: /included}, respond: {body: \"${SLUICE_TEST_SECRET}\"}}\n");
  const auto path = folder.write("x.yaml", R"(version: 1
include: routes.d/*.yaml
admin: {token_file: token}
listeners:
  public: {address: "127.0.0.1:8080", limits: }
upstreams:
  app: {endpoints: ["127.0.0.1:9001"]}
routes:
  - match: {path: "/a", hosts: []}
    upstream: app
    headers:
      request:
        set: {Authorization: Bearer hunter2, x-frame: deny, x-quoted: "true", x-app-token: abc}
)");
  const auto result = compile_file(path);
  REQUIRE(messages_of(result.errors).empty());
  CHECK(result.snapshot->redacted_yaml == R"(version: 1
admin:
  token_file: token
listeners:
  public:
    address: "127.0.0.1:8080"
    limits: null
upstreams:
  app:
    endpoints:
      - "127.0.0.1:9001"
routes:
  - match:
      path: "/a"
      hosts: []
    upstream: app
    headers:
      request:
        set:
          Authorization: "<hidden>"
          x-frame: deny
          x-quoted: "true"
          x-app-token: "<hidden>"
  - match:
      path: /included
    respond:
      body: "${SLUICE_TEST_SECRET}"
)");
}

TEST_CASE("an error never shows what a secret's variable holds") {
  ::setenv("SLUICE_TEST_SECRET", "hunter2 {oops}", 1);
  const auto result = compile_text(with_route("{match: {path: /}, upstream: app, headers: {request: {set: "
                                              "{authorization: \"${SLUICE_TEST_SECRET}\"}}}}"),
                                   "x.yaml");
  REQUIRE(result.errors.size() == 1);
  CHECK_THAT(text_of(result.errors, Severity::error), !Catch::Contains("hunter2"));
}

TEST_CASE("what is shown can be read again and means the same") {
  const auto first = compile_text(with_route("{name: \"odd: 'name' # x\", match: {path: \"/{rest...}\"}, "
                                             "respond: {body: \"a\\n\\\"b\\\"\\\\\\t{}\"}}"),
                                  "x");
  REQUIRE(first.snapshot != nullptr);
  const auto second = compile_text(first.snapshot->redacted_yaml, "y");
  CHECK(messages_of(second.errors).empty());
  REQUIRE(second.snapshot != nullptr);
  CHECK(second.snapshot->routes[0].name == first.snapshot->routes[0].name);
  CHECK(second.snapshot->routes[0].respond->body == first.snapshot->routes[0].respond->body);
  CHECK(second.snapshot->redacted_yaml == first.snapshot->redacted_yaml);
}
