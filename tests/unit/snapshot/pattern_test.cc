#include "snapshot/pattern.h"

#include <catch2/catch.hpp>

using namespace sluice::snapshot;

namespace {

// The names of a pattern that is right, "offset: message" of one that is wrong.
std::string checked(std::string_view pattern) {
  const auto result = check_pattern(pattern);
  if (const auto* error = std::get_if<PatternError>(&result)) return std::to_string(error->at) + ": " + error->message;
  std::string out;
  for (const std::string& name : std::get<0>(result)) out += out.empty() ? name : " " + name;
  return out;
}

std::string many(size_t count, std::string_view before, std::string_view after) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out.append(before).append(std::to_string(i)).append(after);
  return out;
}

}  // namespace

TEST_CASE("a pattern names its parameters in order") {
  CHECK(checked("/") == "");
  CHECK(checked("/a/b/") == "");
  CHECK(checked("/{id}") == "id");
  CHECK(checked("/users/{user:int}/keys/{key:uuid}/{path...}") == "user key path");
  CHECK(checked("/{a:[a-z]{2,3}}/{b:[}{]x}/{c:\\}y}/{d:[]}]x}/{e:[^]}]x}/{f:[^/]+}") == "a b c d e f");
  CHECK(checked("/{_private-1}") == "_private-1");
  CHECK(checked("/a%20b/%C3%A9/~x/(v1)") == "");
  CHECK(checked("/" + many(kMaxCaptures, "{p", "}/")).substr(0, 8) == "p0 p1 p2");
}

TEST_CASE("a wrong pattern is refused with the offset of the fault and a way out") {
  using Catch::Matchers::StartsWith;
  CHECK_THAT(checked(""), StartsWith("0: a path pattern begins with '/'"));
  CHECK_THAT(checked("a"), StartsWith("0: a path pattern begins with '/'"));
  CHECK_THAT(checked("/a/{id"), StartsWith("3: this '{' is never closed"));
  CHECK_THAT(checked("/a/{id:[}"), StartsWith("3: this '{' is never closed"));
  CHECK_THAT(checked("/a}"), StartsWith("2: this '}' closes nothing"));
  CHECK_THAT(checked("/v{id}"), StartsWith("2: a parameter is a whole segment"));
  CHECK_THAT(checked("/{id}.json"), StartsWith("5: a parameter is a whole segment"));
  CHECK_THAT(checked("/{}"), StartsWith("2: a parameter needs a name"));
  CHECK_THAT(checked("/{...}"), StartsWith("2: a parameter needs a name"));
  CHECK_THAT(checked("/{:int}"), StartsWith("2: a parameter needs a name"));
  CHECK_THAT(checked("/{1a}"), StartsWith("2: a parameter's name is"));
  CHECK_THAT(checked("/{a b}"), StartsWith("2: a parameter's name is"));
  CHECK_THAT(checked("/{a}/{b}/{a}"), StartsWith("10: there are two parameters named 'a'"));
  CHECK_THAT(checked("/{a...}/b"), StartsWith("2: {a...} takes the rest of the path and must come last"));
  CHECK_THAT(checked("/{a...}/"), StartsWith("2: {a...} takes the rest of the path and must come last"));
  CHECK_THAT(checked("/{id:}"), StartsWith("5: an expression must follow the ':'"));
  CHECK_THAT(checked("/{id:integer}"), StartsWith("5: 'integer' is no type (those are int and uuid)"));
  CHECK_THAT(checked("/a/{id:[a-}"), StartsWith("3: this '{' is never closed"));
  CHECK_THAT(checked("/a/{id:(a}"), StartsWith("9: the expression is wrong: missing closing parenthesis"));
  CHECK_THAT(checked("/a/{id:a**+}"), StartsWith("9: the expression is wrong: quantifier does not follow"));
  CHECK_THAT(checked("/a/{id:\\C+}"), StartsWith("9: the expression is wrong"));
  CHECK_THAT(checked("/" + many(kMaxCaptures + 1, "{p", "}/")), Catch::Matchers::EndsWith("at most 16 parameters"));
  CHECK_THAT(checked(many(kMaxPatternSegments + 1, "/", "")), Catch::Matchers::EndsWith("at most 128 segments"));
  CHECK_THAT(checked("/" + std::string(kMaxPatternBytes, 'a')),
             StartsWith("4096: a path pattern is at most 4096 bytes"));
}

TEST_CASE("a literal that no normalised path can equal is refused") {
  using Catch::Matchers::Contains;
  CHECK_THAT(checked("/a/../b"), Contains("dot segments are resolved before routing"));
  CHECK_THAT(checked("/./b"), Contains("dot segments are resolved before routing"));
  CHECK_THAT(checked("/%7euser"), Contains("write '~'"));
  CHECK_THAT(checked("/caf%c3%A9"), Contains("4: ") && Contains("write %C3"));
  CHECK_THAT(checked("/100%"), Contains("%25"));
  CHECK_THAT(checked("/a b"), Contains("write it as %20"));
  CHECK_THAT(checked("/caf\xc3\xa9"), Contains("write it as %C3"));
  CHECK_THAT(checked("/a?b=c"), Contains("use match.query"));
  CHECK_THAT(checked("/a#b"), Contains("write it as %23"));
  CHECK_THAT(checked("/a\\b"), Contains("write it as %5C"));
}

TEST_CASE("a segment is written back as it was") {
  std::string out;
  const std::string pattern = "/a/{b}/{c:int}/{d:uuid}/{e:[a-z]{2}}//{f...}";
  for (const Segment& segment : parsed_pattern(pattern)) out += "/" + to_string(segment);
  CHECK(out == pattern);
}

TEST_CASE("patterns that differ only in names have the same key, others have not") {
  PatternKeys keys;
  const auto key = [&](std::string_view pattern) { return keys.key_of(parsed_pattern(pattern)); };
  CHECK(key("/a/{x}/{y:int}/{z:[a-z]}/{r...}") == key("/a/{k}/{l:int}/{m:[a-z]}/{n...}"));
  CHECK(key("/{x:[a-z]}") != key("/{x:[a-y]}"));
  CHECK(key("/{x:int}") != key("/{x:uuid}"));
  CHECK(key("/{x}") != key("/{x...}"));
  CHECK(key("/a") != key("/a/"));
}
