// The cookie of a session (RFC 6265): "<id>" or "<id>.<tag>". The id is 128 random bits, the tag says whose sessions are to be asked
// about in the same turn; both in base64url. What a cookie says is believed only once the store agrees.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "common/cookies.h"

namespace sluice::session {

constexpr size_t kIdBytes = 22;  // 128 bits in base64url

/// True for 128 bits in base64url: 22 characters, of which the last has two bits only.
bool is_id(std::string_view text);

struct CookieValue {
  std::string_view id;
  std::string_view tag;  // empty: a session without a subject
};
/// Nothing if it cannot be one that was made here.
std::optional<CookieValue> parse_cookie_value(std::string_view value);

/// Nothing of two that differ: a browser sends a second one only if somebody else, say a neighbouring host, has planted it.
std::optional<CookieValue> parse_cookies(const NamedCookies& cookies);

}  // namespace sluice::session
