// Request targets and paths: split once, normalise once, and let everything later use the same result, so that routing,
// plugins and upstream never see different paths. RFC 9112 §3.2, RFC 3986 §5.2.4 and §6.2.2.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace sluice::http {

struct Target {
  std::string_view path;       // begins with '/', not yet normalised; "*" for asterisk-form
  std::string_view query;      // without '?'
  bool has_query = false;      // "/a?" has an empty query; it is passed on as received
  std::string_view authority;  // absolute-form only: host[:port]
  bool asterisk = false;       // OPTIONS * only
};
/// origin-form, absolute-form (http, https) and asterisk-form. Characters outside RFC 3986's set, a fragment, or userinfo:
/// bad_target; but what browsers leave unescaped (WHATWG URL) is let through: [ ] | ^ in paths, and { } \ ` too in queries.
/// CONNECT's authority-form is bad_target as well. Whether escapes are whole is normalise_path()'s question; a query's are the
/// upstream's.
Result<Target> parse_target(std::string_view target, Method method);

/// Resolves dot segments, decodes percent-escapes of unreserved characters, upper-cases the other escapes. An encoded slash
/// or backslash, a raw backslash, an encoded NUL, a bad escape, or a climb above the root is bad_path, unless
/// `allow_encoded_slash` lets the escapes %2F and %5C through untouched. Other bytes stay exact; empty segments stay. A dot
/// segment with parameters ("..;x"), which Java containers resolve and others do not, is bad_path.
/// Returns `path` itself if it was normal already (the common case, no write); else a view into `scratch`, which must
/// hold path.size() bytes.
Result<std::string_view> normalise_path(std::string_view path, std::span<char> scratch,
                                        bool allow_encoded_slash = false);

/// `path` without `prefix`, which must be whole segments of it: "/api" is one of "/api" and "/api/x", not of "/apiary". The
/// rest begins with '/'.
std::string_view without_prefix(std::string_view path, std::string_view prefix);

/// host[:port] as in Host (RFC 9110 §7.2): a name of letters, digits, '-', '_' and single dots, IPv4, or [IPv6]; a port of one to
/// five digits up to 65535. Of RFC 3986's reg-name this leaves out escapes and the punctuation that no host name has.
bool is_valid_authority(std::string_view authority);
/// The host without port and without a trailing dot, in its given case.
std::string_view host_of(std::string_view authority);

/// Finds `name` in a query string ("a=1&b=2"), names and values percent-decoded for the comparison only.
/// Writes the raw (still encoded) value to `value`; a name without '=' has an empty value.
bool find_query_parameter(std::string_view query, std::string_view name, std::string_view& value);

/// True if `raw`, percent-decoded and with '+' as space, equals `plain`.
bool decoded_equals(std::string_view raw, std::string_view plain);

}  // namespace sluice::http
