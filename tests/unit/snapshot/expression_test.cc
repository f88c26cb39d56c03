#include "snapshot/expression.h"

#include <catch2/catch.hpp>
#include <string>

using namespace sluice::snapshot;
using Outcome = Expression::Outcome;

namespace {
Outcome match(std::string_view expression, std::string_view text) {
  const auto compiled = Expression::compile(expression);
  return std::get<Expression>(compiled).match(text);
}
}  // namespace

TEST_CASE("an expression must match the whole text") {
  CHECK(match("[a-z]+", "abc") == Outcome::match);
  CHECK(match("[a-z]+", "abc1") == Outcome::no_match);
  CHECK(match("[a-z]+", "1abc") == Outcome::no_match);
  CHECK(match("a|ab", "ab") == Outcome::match);
  CHECK(match("a$|b", "a\n") == Outcome::no_match);
  CHECK(match("(?i)[a-z]+", "ABC") == Outcome::match);
  CHECK(match("(a)(b)\\2", "abb") == Outcome::match);
}

TEST_CASE("an expression works on bytes, whatever they are") {
  CHECK(match(".{2}", "\xc3\xa9") == Outcome::match);
  CHECK(match("[^/]+", "%C3%A9") == Outcome::match);
  CHECK(std::holds_alternative<PatternError>(Expression::compile("(*UTF).+")));
}

TEST_CASE("a match that takes too many steps is given up") {
  CHECK(match("(a|aa)+[bc][bc]", std::string(60, 'a') + "b") == Outcome::limit);
  CHECK(match("(a|aa)+[bc][bc]", std::string(60, 'a') + "bc") == Outcome::match);
  CHECK(match("(a+)+", std::string(5000, 'a')) == Outcome::match);
  CHECK(match("(a+)+", "aaaab") == Outcome::no_match);
}

TEST_CASE("a match that needs too deep a stack is given up") {
  CHECK(match("(a|b(?1)c)+", std::string(100'000, 'b')) != Outcome::match);
}
