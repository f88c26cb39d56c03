// Names of header fields as CGI and its heirs read them (RFC 3875 §4.1.18): X_User and x-user are one name. Whoever takes a field away
// from a client must take all that an upstream may read as that field.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/strings.h"

namespace sluice {

inline bool cgi_begins_with(std::string_view name, std::string_view prefix) {
  const auto seen = [](char c) { return c == '-' ? '_' : to_lower(c); };
  return name.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), name.begin(), [&](char a, char b) { return seen(a) == seen(b); });
}
inline bool cgi_equals(std::string_view a, std::string_view b) { return a.size() == b.size() && cgi_begins_with(a, b); }

}  // namespace sluice
