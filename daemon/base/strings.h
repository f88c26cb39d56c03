// Small functions on text that several floors need. ASCII only: HTTP and our configuration are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Equal but for ASCII case.
bool iequals(std::string_view a, std::string_view b);

/// Without SP and HTAB at both ends.
std::string_view trim(std::string_view text);

/// Takes the next element of a comma-separated list off `rest`, trimmed; elements may be empty. False at the end.
bool next_in_list(std::string_view& rest, std::string_view& element);

/// Decimal digits only, no sign, no space; nothing on overflow of 64 bits or an empty text.
std::optional<uint64_t> parse_u64(std::string_view text);

/// `text` with what JSON wants escaped escaped (RFC 8259 §7), without the quotes. Bytes that are not valid UTF-8 become
/// U+FFFD, so the result is always valid JSON.
void append_json_escaped(std::string& out, std::string_view text);
std::string json_quoted(std::string_view text);

}  // namespace sluice
