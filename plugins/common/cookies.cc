#include "common/cookies.h"

#include <algorithm>

namespace sluice {

namespace {

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

void NamedCookies::add(std::string_view field) {
  while (!field.empty()) {
    const std::string_view pair = take_pair(field);
    if (name_of(pair) != name || pair.find('=') == std::string_view::npos) continue;
    const std::string_view found = trimmed(pair.substr(pair.find('=') + 1));
    if (count++ == 0) value = found;
    ambiguous = ambiguous || found != value;
  }
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

}  // namespace sluice
