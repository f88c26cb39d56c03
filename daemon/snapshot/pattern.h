// Pattern: a route's path pattern taken apart, "/api/v1/users/{id:int}" into segments. Used when a configuration is
// compiled and by explain, never on the request path (path_tree.h is). Views into the pattern's text.
//
//   literal     a segment of that very text; may be empty, so "/a/" and "/a" are two patterns and "/a//b" is a third
//   {name}      any one segment that is not empty
//   {name:int}  an optional '-' and one or more digits
//   {name:uuid} 8-4-4-4-12 hexadecimal digits, any case (RFC 9562 §4)
//   {name:expr} a segment that the PCRE2 expression matches from end to end
//   {name...}   the rest of the path, slashes included; last only; may be empty: "/files/{path...}" takes "/files/" and
//               "/files/a/b" but not "/files"
//
// A parameter is a whole segment. Literals must be as the normalised request path writes them (http::normalise_path).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "snapshot/route_table.h"

namespace sluice::snapshot {

constexpr size_t kMaxPatternBytes = 4096;
constexpr size_t kMaxPatternSegments = 128;

struct Segment {
  enum class Kind : uint8_t { literal, integer, uuid, expression, plain, rest } kind = Kind::literal;
  std::string_view text;        // literal: the segment; else the parameter's name
  std::string_view expression;  // of Kind::expression
  size_t at = 0;                // offset of `text` in the pattern

  [[nodiscard]] bool is_parameter() const { return kind != Kind::literal; }
  [[nodiscard]] bool is_typed() const {
    return kind == Kind::integer || kind == Kind::uuid || kind == Kind::expression;
  }
};

using Pattern = std::vector<Segment>;

/// Everything about the pattern but whether its expressions compile: that is check_pattern()'s (route_table.h).
std::variant<Pattern, PatternError> parse_pattern(std::string_view pattern);
/// Of a pattern that is known to be right.
Pattern parsed_pattern(std::string_view pattern);

bool is_integer(std::string_view text);
bool is_uuid(std::string_view text);

/// The segment as a pattern writes it: "users", "{id:int}", "{path...}".
std::string to_string(const Segment& segment);

/// Gives equal keys to patterns that differ only in their parameters' names; the tree is built of keys. A key is a
/// sequence of tokens: a byte of literal text (slashes too) is a token, and so is a parameter: its Mark, which no
/// literal can hold, and after Mark::expression the expression's number as four big-endian bytes.
enum class Mark : uint8_t { integer = 1, uuid = 2, plain = 3, rest = 4, expression = 5 };
constexpr size_t kExpressionTokenBytes = 5;

class PatternKeys {
 public:
  std::string key_of(const Pattern& pattern);
  /// The distinct expressions seen so far, by number.
  [[nodiscard]] const std::vector<std::string>& expressions() const { return expressions_; }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
  std::vector<std::string> expressions_;
};

constexpr bool is_mark(char c) { return static_cast<uint8_t>(c) <= static_cast<uint8_t>(Mark::expression); }
/// The number in the expression token at `token`, and such a token.
uint32_t expression_number(const char* token);
std::string expression_token(uint32_t number);
/// The token of `key` at `at`.
std::string_view token_at(std::string_view key, size_t at);
std::vector<std::string_view> tokens_of(std::string_view key);

}  // namespace sluice::snapshot
