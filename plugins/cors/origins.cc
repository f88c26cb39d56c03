#include "cors/origins.h"

#include <algorithm>
#include <charconv>

#include "common/header_syntax.h"

namespace sluice::cors {

namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool all_of(std::string_view text, std::string_view marks) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_letter_or_digit(c) || marks.find(c) != std::string_view::npos; });
}

bool is_scheme(std::string_view text) {
  return !text.empty() && text.front() >= 'a' && text.front() <= 'z' && all_of(text, "+-.");
}

bool is_host(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']'))
    return text.size() > 2 && all_of(text.substr(1, text.size() - 2), ":.");
  return !text.empty() && text.front() != '.' && text.back() != '.' && all_of(text, "-._");
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && text.front() != '0' && port <= 65535;
}

}  // namespace

std::string Origins::add(std::string_view pattern) {
  if (pattern == "*") {
    any_ = true;
    return {};
  }
  std::string text(pattern);
  std::transform(text.begin(), text.end(), text.begin(), lower);
  if (text == "null") return "\"null\" is the origin of any sandboxed page, so it cannot be allowed";
  const size_t colon = text.find("://");
  if (colon == std::string::npos) return "write an origin with its scheme, as in https://app.example.com";
  const std::string scheme = text.substr(0, colon + 3);
  std::string_view rest = std::string_view(text).substr(scheme.size());
  const bool has_subdomains = rest.starts_with("*.");
  if (has_subdomains) rest.remove_prefix(2);
  if (rest.find('*') != std::string_view::npos)
    return "the only place for * is before the host's first dot: https://*.example.com";
  if (rest.ends_with('/')) return "an origin has no path and ends without a slash";
  const size_t after_host = rest.starts_with('[') ? rest.find(']') + 1 : 0;
  const size_t port = rest.find(':', after_host);
  const bool is_valid = is_scheme(scheme.substr(0, colon)) && is_host(rest.substr(0, port)) &&
                        (port == std::string_view::npos || is_port(rest.substr(port + 1)));
  if (!is_valid) return "not an origin; write scheme://host or scheme://host:port";
  const std::string_view default_port = scheme == "https://" ? ":443" : scheme == "http://" ? ":80" : "";
  if (port != std::string_view::npos && rest.substr(port) == default_port)
    return "browsers leave out the default port " + std::string(default_port.substr(1)) + ": leave it out here too";
  if (has_subdomains) {
    subdomains_.push_back({scheme, "." + std::string(rest)});
  } else {
    exact_.push_back(std::move(text));
  }
  return {};
}

void Origins::sort() { std::sort(exact_.begin(), exact_.end()); }

bool Origins::allows(std::string_view origin) const {
  if (any_ || std::binary_search(exact_.begin(), exact_.end(), origin, std::less<>())) return true;
  return std::any_of(subdomains_.begin(), subdomains_.end(), [origin](const Subdomains& of) {
    if (origin.size() <= of.scheme.size() + of.suffix.size()) return false;
    if (!origin.starts_with(of.scheme) || !origin.ends_with(of.suffix)) return false;
    // What stands for the * is labels of a host, so the host ends where the pattern's does.
    return is_host(origin.substr(of.scheme.size(), origin.size() - of.scheme.size() - of.suffix.size()));
  });
}

}  // namespace sluice::cors
