#include "snapshot/pattern.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/assert.h"
#include "base/strings.h"
#include "snapshot/expression.h"

namespace sluice::snapshot {
namespace {

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'f'); }
// RFC 3986 §2.3
constexpr bool is_unreserved(char c) {
  return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}
// RFC 3986 §3.3 without the percent-escapes, and what http::parse_target() lets through beside it.
bool is_path_byte(char c) {
  static constexpr auto kPathBytes = [] {
    std::array<bool, 256> table{};
    for (size_t i = 0; i < 128; ++i) table[i] = is_unreserved(static_cast<char>(i));
    for (const char other : std::string_view("!$&'()*+,;=:@[]|^")) table[static_cast<unsigned char>(other)] = true;
    return table;
  }();
  return kPathBytes[static_cast<unsigned char>(c)];
}

int hex_value(char c) { return is_digit(c) ? c - '0' : to_lower(c) - 'a' + 10; }

std::string escape_of(char c) {
  constexpr char kHex[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  return {'%', kHex[byte >> 4], kHex[byte & 15]};
}

constexpr std::string_view kWholeSegment =
    "a parameter is a whole segment; for a part of one use an expression, such as {file:.+\\.json}";

// The request path is normalised before it is routed, so a literal that is not normal could never match; saying so now
// spares a long search.
std::optional<PatternError> check_escape(std::string_view rest, size_t at) {
  if (rest.size() < 3 || !is_hex(rest[1]) || !is_hex(rest[2])) {
    return PatternError{"a '%' must be followed by two hexadecimal digits; a literal one is written %25", at};
  }
  const char plain = static_cast<char>(hex_value(rest[1]) * 16 + hex_value(rest[2]));
  if (is_unreserved(plain)) {
    return PatternError{
        std::string("paths are normalised before routing, so this never matches: write '") + plain + "'", at};
  }
  if (rest.substr(0, 3) != escape_of(plain)) {
    return PatternError{"paths are normalised before routing, so this never matches: write " + escape_of(plain), at};
  }
  return std::nullopt;
}

std::optional<PatternError> check_literal(std::string_view literal, size_t at) {
  if (literal == "." || literal == "..") {
    return PatternError{"dot segments are resolved before routing, so this never matches", at};
  }
  for (size_t i = 0; i < literal.size(); ++i) {
    const char c = literal[i];
    if (is_path_byte(c)) continue;
    if (c == '%') {
      if (auto error = check_escape(literal.substr(i), at + i)) return error;
      i += 2;
      continue;
    }
    if (c == '{') return PatternError{std::string(kWholeSegment) + "; a literal brace is written %7B", at + i};
    if (c == '}') return PatternError{"this '}' closes nothing; a literal one is written %7D", at + i};
    if (c == '?') return PatternError{"the query is no part of the path: use match.query", at + i};
    return PatternError{"this character cannot stand in a request path; write it as " + escape_of(c), at + i};
  }
  return std::nullopt;
}

// The offset of the '}' that closes the '{' at `open`, minding escapes, classes and quantifiers of an expression.
size_t closing_brace(std::string_view pattern, size_t open) {
  size_t depth = 0;
  bool in_class = false;
  size_t class_start = 0;
  for (size_t i = open; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      // A ']' that comes first in a class, negated or not, is a member of it.
      const bool first = i == class_start + 1 || (i == class_start + 2 && pattern[i - 1] == '^');
      if (c == ']' && !first) in_class = false;
    } else if (c == '[') {
      in_class = true;
      class_start = i;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

bool is_name(std::string_view text) {
  if (text.empty() || is_digit(text[0]) || text[0] == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '-'; });
}

std::optional<PatternError> check_expression(std::string_view expression, size_t at) {
  if (expression.empty()) return PatternError{"an expression must follow the ':'", at};
  const bool is_word =
      std::all_of(expression.begin(), expression.end(), [](char c) { return is_letter(c) || c == '_'; });
  if (!is_word) return std::nullopt;
  return PatternError{
      "'" + std::string(expression) +
          "' is no type (those are int and uuid), and as an expression it would match only that very word",
      at};
}

// `body` is what stands between the braces, at offset `at`.
std::variant<Segment, PatternError> parse_parameter(std::string_view body, size_t at) {
  Segment segment{Segment::Kind::plain, body, {}, at};
  if (const size_t colon = body.find(':'); colon != std::string_view::npos) {
    segment.text = body.substr(0, colon);
    const std::string_view type = body.substr(colon + 1);
    if (type == "int") {
      segment.kind = Segment::Kind::integer;
    } else if (type == "uuid") {
      segment.kind = Segment::Kind::uuid;
    } else {
      segment.kind = Segment::Kind::expression;
      segment.expression = type;
      if (auto error = check_expression(type, at + colon + 1)) return std::move(*error);
    }
  } else if (body.ends_with("...")) {
    segment.text = body.substr(0, body.size() - 3);
    segment.kind = Segment::Kind::rest;
  }
  if (segment.text.empty()) return PatternError{"a parameter needs a name, such as {id}", at};
  if (!is_name(segment.text)) {
    return PatternError{"a parameter's name is letters, digits, '_' and '-', and begins with a letter or '_'", at};
  }
  return segment;
}

// The segment at pattern[at]; sets `end` to the offset past it.
std::variant<Segment, PatternError> parse_segment(std::string_view pattern, size_t at, size_t& end) {
  end = std::min(pattern.find('/', at), pattern.size());
  if (at == pattern.size() || pattern[at] != '{') {
    const std::string_view literal = pattern.substr(at, end - at);
    if (auto error = check_literal(literal, at)) return std::move(*error);
    return Segment{Segment::Kind::literal, literal, {}, at};
  }
  const size_t close = closing_brace(pattern, at);
  if (close == std::string_view::npos) return PatternError{"this '{' is never closed", at};
  end = close + 1;
  if (end < pattern.size() && pattern[end] != '/') return PatternError{std::string(kWholeSegment), end};
  return parse_parameter(pattern.substr(at + 1, close - at - 1), at + 1);
}

// May `segment` follow those of `pattern`?
std::optional<PatternError> check_segment(const Pattern& pattern, const Segment& segment) {
  if (pattern.size() == kMaxPatternSegments) {
    return PatternError{"a path pattern has at most " + std::to_string(kMaxPatternSegments) + " segments", segment.at};
  }
  if (!pattern.empty() && pattern.back().kind == Segment::Kind::rest) {
    return PatternError{to_string(pattern.back()) + " takes the rest of the path and must come last",
                        pattern.back().at};
  }
  if (!segment.is_parameter()) return std::nullopt;
  size_t parameters = 1;
  for (const Segment& earlier : pattern) {
    if (!earlier.is_parameter()) continue;
    if (earlier.text == segment.text) {
      return PatternError{"there are two parameters named '" + std::string(segment.text) + "'", segment.at};
    }
    ++parameters;
  }
  if (parameters <= kMaxCaptures) return std::nullopt;
  return PatternError{"a path pattern has at most " + std::to_string(kMaxCaptures) + " parameters", segment.at};
}

}  // namespace

std::variant<Pattern, PatternError> parse_pattern(std::string_view pattern) {
  if (pattern.empty() || pattern[0] != '/') return PatternError{"a path pattern begins with '/'", 0};
  if (pattern.size() > kMaxPatternBytes) {
    return PatternError{"a path pattern is at most " + std::to_string(kMaxPatternBytes) + " bytes", kMaxPatternBytes};
  }
  Pattern segments;
  segments.reserve(static_cast<size_t>(std::count(pattern.begin(), pattern.end(), '/')));
  for (size_t at = 1, end = 0; end < pattern.size(); at = end + 1) {
    auto parsed = parse_segment(pattern, at, end);
    if (auto* error = std::get_if<PatternError>(&parsed)) return std::move(*error);
    const Segment& segment = *std::get_if<Segment>(&parsed);
    if (auto error = check_segment(segments, segment)) return std::move(*error);
    segments.push_back(segment);
  }
  return segments;
}

Pattern parsed_pattern(std::string_view pattern) {
  auto parsed = parse_pattern(pattern);
  SL_ASSERT(parsed.index() == 0);
  return std::move(*std::get_if<0>(&parsed));
}

std::variant<std::vector<std::string>, PatternError> check_pattern(std::string_view pattern) {
  auto parsed = parse_pattern(pattern);
  if (auto* error = std::get_if<PatternError>(&parsed)) return std::move(*error);
  std::vector<std::string> names;
  for (const Segment& segment : *std::get_if<Pattern>(&parsed)) {
    if (!segment.is_parameter()) continue;
    names.emplace_back(segment.text);
    if (segment.kind != Segment::Kind::expression) continue;
    auto compiled = Expression::compile(segment.expression);
    if (auto* error = std::get_if<PatternError>(&compiled)) {
      error->at += static_cast<size_t>(segment.expression.data() - pattern.data());
      return std::move(*error);
    }
  }
  return names;
}

bool is_integer(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text[i])) return false;
  }
  return true;
}

std::string to_string(const Segment& segment) {
  const std::string text(segment.text);
  switch (segment.kind) {
    case Segment::Kind::literal: return text;
    case Segment::Kind::integer: return "{" + text + ":int}";
    case Segment::Kind::uuid: return "{" + text + ":uuid}";
    case Segment::Kind::expression: return "{" + text + ":" + std::string(segment.expression) + "}";
    case Segment::Kind::plain: return "{" + text + "}";
    case Segment::Kind::rest: return "{" + text + "...}";
  }
  return text;
}

uint32_t expression_number(const char* token) {
  uint32_t number = 0;
  for (size_t i = 1; i < kExpressionTokenBytes; ++i) number = (number << 8) | static_cast<unsigned char>(token[i]);
  return number;
}

std::string expression_token(uint32_t number) {
  std::string token(1, static_cast<char>(Mark::expression));
  for (int shift = 24; shift >= 0; shift -= 8) token.push_back(static_cast<char>(number >> shift));
  return token;
}

std::string_view token_at(std::string_view key, size_t at) {
  return key.substr(at, key[at] == static_cast<char>(Mark::expression) ? kExpressionTokenBytes : 1);
}

std::vector<std::string_view> tokens_of(std::string_view key) {
  std::vector<std::string_view> tokens;
  for (size_t at = 0; at < key.size(); at += tokens.back().size()) tokens.push_back(token_at(key, at));
  return tokens;
}

namespace {
Mark mark_of(Segment::Kind kind) {
  switch (kind) {
    case Segment::Kind::integer: return Mark::integer;
    case Segment::Kind::uuid: return Mark::uuid;
    case Segment::Kind::rest: return Mark::rest;
    default: return Mark::plain;
  }
}
}  // namespace

std::string PatternKeys::key_of(const Pattern& pattern) {
  std::string key;
  for (const Segment& segment : pattern) {
    key.push_back('/');
    if (!segment.is_parameter()) {
      key.append(segment.text);
      continue;
    }
    if (segment.kind != Segment::Kind::expression) {
      key.push_back(static_cast<char>(mark_of(segment.kind)));
      continue;
    }
    const auto next = static_cast<uint32_t>(expressions_.size());
    const auto [at, fresh] = numbers_.try_emplace(std::string(segment.expression), next);
    if (fresh) expressions_.push_back(at->first);
    key += expression_token(at->second);
  }
  return key;
}

}  // namespace sluice::snapshot
