#include "session/cookie.h"

#include <algorithm>

#include "common/base64.h"

namespace sluice::session {

bool is_id(std::string_view text) {
  return text.size() == kIdBytes && is_base64url(text) &&
         std::string_view("AQgw").find(text.back()) != std::string_view::npos;
}

std::optional<CookieValue> parse_cookie_value(std::string_view value) {
  const CookieValue parsed{value.substr(0, kIdBytes), value.substr(std::min(value.size(), kIdBytes + 1))};
  if (!is_id(parsed.id)) return std::nullopt;
  if (value.size() == kIdBytes) return parsed;
  if (value[kIdBytes] != '.' || !is_id(parsed.tag)) return std::nullopt;
  return parsed;
}

std::optional<CookieValue> parse_cookies(const NamedCookies& cookies) {
  return cookies.count == 0 || cookies.ambiguous ? std::nullopt : parse_cookie_value(cookies.value);
}

}  // namespace sluice::session
