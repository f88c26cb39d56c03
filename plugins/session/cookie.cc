#include "session/cookie.h"

#include <algorithm>

namespace sluice::session {

namespace {

bool is_base64url(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

// The next "name=value" of a field, as it stands there, and the rest of the field.
std::string_view take_pair(std::string_view& field) {
  const std::string_view pair = field.substr(0, field.find(';'));
  field.remove_prefix(std::min(pair.size() + 1, field.size()));
  return pair;
}

std::string_view name_of(std::string_view pair) { return trimmed(pair.substr(0, pair.find('='))); }

}  // namespace

bool is_id(std::string_view text) {
  return text.size() == kIdBytes && std::all_of(text.begin(), text.end(), is_base64url) &&
         std::string_view("AQgw").find(text.back()) != std::string_view::npos;
}

std::optional<CookieValue> parse_cookie_value(std::string_view value) {
  const CookieValue parsed{value.substr(0, kIdBytes), value.substr(std::min(value.size(), kIdBytes + 1))};
  if (!is_id(parsed.id)) return std::nullopt;
  if (value.size() == kIdBytes) return parsed;
  if (value[kIdBytes] != '.' || !is_id(parsed.tag)) return std::nullopt;
  return parsed;
}

void NamedCookies::add(std::string_view field) {
  while (!field.empty()) {
    const std::string_view pair = take_pair(field);
    if (name_of(pair) != name || pair.find('=') == std::string_view::npos) continue;
    const std::string_view found = trimmed(pair.substr(pair.find('=') + 1));
    if (count++ == 0) value = found;
    ambiguous = ambiguous || found != value;
  }
}

std::optional<CookieValue> NamedCookies::parse() const {
  return count == 0 || ambiguous ? std::nullopt : parse_cookie_value(value);
}

void leave_out(std::string_view field, std::string_view name, std::string& out) {
  std::string_view before = out.empty() ? "" : "; ";
  while (!field.empty()) {
    std::string_view pair = take_pair(field);
    if (name_of(pair) == name) continue;
    if (before != ";") pair.remove_prefix(std::min(pair.find_first_not_of(" \t"), pair.size()));
    (out += before) += pair;
    before = ";";
  }
}

}  // namespace sluice::session
