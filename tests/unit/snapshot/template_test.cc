#include "snapshot/template.h"

#include <array>
#include <catch2/catch.hpp>

using namespace sluice::snapshot;

namespace {

std::string_view variable_of(const void* owner, Variable variable) {
  return variable == Variable::host ? *static_cast<const std::string_view*>(owner) : "other";
}

// The expansion, or "offset: error".
std::string expanded(std::string_view source, size_t room = 100) {
  const std::array<std::string, 2> names{"id", "path"};
  const std::array<std::string_view, 2> values{"7", "a/b"};
  std::string error;
  size_t at = 0;
  const auto compiled = Template::compile(source, names, error, at);
  if (!compiled) return std::to_string(at) + ": " + error;
  const std::string_view host = "a.test";
  std::string out(room, '\0');
  const auto length = compiled->expand({.captures = values, .variable = variable_of, .owner = &host}, out);
  return length ? out.substr(0, *length) : "no room";
}

}  // namespace

TEST_CASE("a template puts parameters and variables into its text") {
  CHECK(expanded("") == "");
  CHECK(expanded("/users") == "/users");
  CHECK(expanded("/users/{id}/x") == "/users/7/x");
  CHECK(expanded("https://{host}/{id}{id}") == "https://a.test/77");
  CHECK(expanded("/{path}") == "/a/b");  // a parameter hides the variable of its name
  CHECK(expanded("{{id}} and }}{{") == "{id} and }{");
  CHECK(expanded("{{{id}}}") == "{7}");
}

TEST_CASE("a template that is wrong is refused with the offset of the fault") {
  using Catch::Matchers::StartsWith;
  CHECK_THAT(expanded("/a/{id"), StartsWith("3: this '{' is never closed"));
  CHECK_THAT(expanded("/a}"), StartsWith("2: this '}' closes nothing"));
  CHECK_THAT(expanded("/a/{uid}"),
             StartsWith("3: {uid} is neither a parameter of the route's path (id, path) nor one of host,"));
  CHECK_THAT(expanded("{}"), StartsWith("0: {} is neither"));
}

TEST_CASE("a template expands to nothing if the room is too small by a byte") {
  CHECK(expanded("/users/{id}", 8) == "/users/7");
  CHECK(expanded("/users/{id}", 7) == "no room");
  CHECK(expanded("/users/{id}", 0) == "no room");
}

TEST_CASE("a template without values expands its parameters to nothing") {
  std::string error;
  size_t at = 0;
  const std::array<std::string, 1> names{"id"};
  const auto compiled = Template::compile("<{id}{host}>", names, error, at);
  std::array<char, 8> out{};
  REQUIRE(compiled);
  CHECK(compiled->expand({}, out) == 2u);
  CHECK(compiled->source() == "<{id}{host}>");
  CHECK(Template().empty());
}

TEST_CASE("every variable has a row of its own") {
  for (size_t i = 0; i < variables().size(); ++i) CHECK(static_cast<size_t>(variables()[i].variable) == i);
}
