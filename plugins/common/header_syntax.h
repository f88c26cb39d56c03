// What a header field may look like (RFC 9110 §5.1, §5.5, §5.6.2), for configurations that name fields, and lists in values.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace sluice {

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

/// True if it begins so, as CGI and its heirs see names of fields, for whom X_User is X-User.
inline bool begins_like(std::string_view name, std::string_view prefix) {
  const auto seen = [](char c) { return c == '-' ? '_' : lower(c); };
  return name.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), name.begin(), [&](char a, char b) { return seen(a) == seen(b); });
}
inline bool reads_like(std::string_view a, std::string_view b) { return a.size() == b.size() && begins_like(a, b); }

/// A name of a field, or a method.
inline bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || kMarks.find(c) != std::string_view::npos;
  });
}

/// A value: no control character but the tab, and no white space around it.
inline bool is_field_value(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  if (!text.empty() && (is_space(text.front()) || is_space(text.back()))) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

/// Fields of framing and of the connection are the gateway's; it refuses to change them for a plugin.
inline constexpr std::string_view kOfTheGateway[] = {
    "Host",    "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive",    "TE",
    "Trailer", "Upgrade",    "Expect",         "Proxy-Connection",  "HTTP2-Settings"};
inline bool is_of_the_gateway(std::string_view name) {
  return std::any_of(std::begin(kOfTheGateway), std::end(kOfTheGateway),
                     [name](std::string_view own) { return equals_ignoring_case(own, name); });
}

/// Of these an upstream gets what the gateway makes or believes, or nothing, whatever a plugin has set.
inline constexpr std::string_view kRemadeForUpstreams[] = {
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",    "Forwarded",
    "X-Request-Id",    "traceparent",       "Proxy-Authorization", "Proxy-Authenticate"};
inline bool is_remade_for_upstreams(std::string_view name) {
  return std::any_of(std::begin(kRemadeForUpstreams), std::end(kRemadeForUpstreams),
                     [name](std::string_view own) { return reads_like(own, name); });
}

/// Why a plugin cannot tell upstreams something under that name, for a person who configures it; empty: it can.
inline std::string why_not_for_upstreams(std::string_view name) {
  const std::string text(name);
  if (!is_token(name)) return "\"" + text + "\" is not the name of a header";
  if (is_of_the_gateway(name)) return text + " is the gateway's own and cannot be changed; name another header";
  if (is_remade_for_upstreams(name))
    return text + " would not arrive, since the gateway makes it anew for upstreams; name another header";
  return {};
}

/// True if the comma-separated list `value` has `wanted` in it, in any case.
inline bool lists(std::string_view value, std::string_view wanted) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    std::string_view entry = value.substr(0, comma);
    entry.remove_prefix(std::min(entry.find_first_not_of(" \t"), entry.size()));
    entry = entry.substr(0, entry.find_last_not_of(" \t") + 1);
    if (equals_ignoring_case(entry, wanted)) return true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return false;
}

}  // namespace sluice
