#include "control/environment.h"

#include <stdlib.h>

#include <catch2/catch.hpp>

#include "control/compile.h"
#include "text_of.h"

using namespace sluice::control;

namespace {
struct Variables {
  Variables() {
    ::setenv("SLUICE_TEST_PORT", "8081", 1);
    ::setenv("SLUICE_TEST_EMPTY", "", 1);
    ::setenv("SLUICE_TEST_TRICKY", "a: b # ${SLUICE_TEST_PORT}", 1);
    ::unsetenv("SLUICE_TEST_UNSET");
  }
};
const Variables kVariables;
}  // namespace

TEST_CASE("variables in scalars are replaced by what the environment holds") {
  struct Case {
    const char* text;
    const char* result;
  };
  const auto [text, result] = GENERATE(values<Case>({
      {"plain", "plain"},
      {"", ""},
      {"${SLUICE_TEST_PORT}", "8081"},
      {"127.0.0.1:${SLUICE_TEST_PORT}", "127.0.0.1:8081"},
      {"${SLUICE_TEST_PORT}${SLUICE_TEST_PORT}!", "80818081!"},
      {"${SLUICE_TEST_EMPTY}", ""},
      {"${SLUICE_TEST_UNSET:-9}", "9"},
      {"${SLUICE_TEST_EMPTY:-9}", "9"},
      {"${SLUICE_TEST_PORT:-9}", "8081"},
      {"${SLUICE_TEST_UNSET:-}", ""},
      {"${SLUICE_TEST_UNSET:-a:-b}", "a:-b"},
      {"$${SLUICE_TEST_PORT}", "${SLUICE_TEST_PORT}"},
      {"$$${SLUICE_TEST_PORT}", "$${SLUICE_TEST_PORT}"},
      {"$SLUICE_TEST_PORT costs 5$", "$SLUICE_TEST_PORT costs 5$"},
      {"${SLUICE_TEST_TRICKY}", "a: b # ${SLUICE_TEST_PORT}"},  // text, never searched again
  }));
  CAPTURE(text);
  const Substitution made = substitute_environment(text);
  CHECK(made.error.empty());
  CHECK(made.text == result);
}

TEST_CASE("a variable that is not set, or is written wrongly, is an error that says what to write") {
  struct Case {
    const char* text;
    const char* error;
  };
  const auto [text, error] = GENERATE(values<Case>({
      {"${SLUICE_TEST_UNSET}",
       "the environment variable SLUICE_TEST_UNSET is not set; ${SLUICE_TEST_UNSET:-default} would give it a "
       "default"},
      {"a ${", "\"${\" has no closing brace; write $${ for a literal ${"},
      {"${1X}",
       "\"${1X}\" is not an environment variable; write ${NAME} or ${NAME:-default}, or $${ for a literal "
       "${"},
      {"${}", "\"${}\" is not an environment variable; write ${NAME} or ${NAME:-default}, or $${ for a literal ${"},
      {"${A B}",
       "\"${A B}\" is not an environment variable; write ${NAME} or ${NAME:-default}, or $${ for a literal "
       "${"},
  }));
  CAPTURE(text);
  CHECK(substitute_environment(text).error == error);
}

TEST_CASE("a variable's error is reported at its scalar, beside the other errors") {
  const auto result = compile_text(
      "version: 1\nlisteners:\n  a: {address: \"127.0.0.1:${SLUICE_TEST_UNSET}\"}\n  b: {address: nowhere}\n",
      "x.yaml");
  CHECK(messages_of(result.errors) ==
        "3:16 the environment variable SLUICE_TEST_UNSET is not set; ${SLUICE_TEST_UNSET:-default} would "
        "give it a default\n"
        "4:16 \"nowhere\" is not an address to listen on; write 0.0.0.0:8080, [::]:8080 or "
        "unix:/run/sluice.sock (a listener has an "
        "address, not a name)\n");
}

TEST_CASE("an error about a value shows where it came from") {
  const auto result = compile_text(with("process: {workers: \"${SLUICE_TEST_PORT}\"}"), "x.yaml");
  CHECK(messages_of(result.errors) ==
        "4:20 workers: \"8081\" (from ${SLUICE_TEST_PORT}) is out of range; it must be 1 to 1024\n");
}

TEST_CASE("what a variable holds never becomes YAML") {
  ::setenv("SLUICE_TEST_YAML", "{status: 500}", 1);
  const auto result =
      compile_text(with_route("{match: {path: /}, respond: {body: \"${SLUICE_TEST_YAML}\"}}"), "x.yaml");
  REQUIRE(result.snapshot != nullptr);
  CHECK(result.snapshot->routes[0].respond->body == "{status: 500}");
  CHECK(result.snapshot->routes[0].respond->status == 200);
}
