#include "session/session_config.h"

#include <span>

#include "common/header_syntax.h"

namespace sluice::session {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::string_view kUrl = "{url}";
constexpr size_t kLongestName = 128;  // keys in the store begin with it

bool begins_with(std::string_view text, std::string_view prefix) {
  return equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

// What begins with the prefix is taken out of requests and answers.
void check_prefix(const Node& node, std::string_view prefix, std::span<const std::string_view> of_the_gateway) {
  for (const std::string_view name : of_the_gateway) {
    if (begins_like(name, prefix))
      return node.error(std::string(name) +
                        " begins so, which is the gateway's own; choose another one, as X-Session-");
  }
}

}  // namespace

Config::Config(Setup& setup) {
  setup["idle"].read(idle, milliseconds(1), kLongestAbsolute);
  setup["absolute"].read(absolute, milliseconds(1), kLongestAbsolute);
  if (idle > absolute)
    (setup["idle"] ? setup["idle"] : setup["absolute"])
        .error("a session would end by its absolute limit before it is idle for so long");
  read_cookie(setup);
  prefix = "session:" + cookie + ":";
  setup["rotate_grace"].read(rotate_grace, milliseconds(0), 60s);
  read_on_missing(setup["on_missing"]);
  setup["header_prefix"].read(header_prefix);
  if (!is_token(header_prefix) || header_prefix.size() < 3 || !header_prefix.ends_with('-'))
    setup["header_prefix"].error("names of header fields begin with it, so it must be as X-Session-, with its hyphen");
  check_prefix(setup["header_prefix"], header_prefix, kOfTheGateway);
  check_prefix(setup["header_prefix"], header_prefix, kRemadeForUpstreams);
  if (!setup.drop_trailers(header_prefix))
    setup.warning("this gateway is older than the module: fields for it in trailers of answers reach the client");
  subject_header = header_prefix + "Subject";
  data_header = header_prefix + "Data";
  setup["max_data"].read_size(max_data, 1, 16 * 1024);
  setup["forward_cookie"].read(forward_cookie);
  setup["outlive_client"].read(outlive_client);
  setup["on_store_error"].choose(open_on_store_error, {{"open", true}, {"closed", false}});
  store = setup.store("store");
  found = setup.counter("found");
  missing = setup.counter("missing");
  forged = setup.counter("forged");
  expired = setup.counter("expired");
  grace = setup.counter("grace");
  created = setup.counter("created");
  changed = setup.counter("changed");
  rotated = setup.counter("rotated");
  destroyed = setup.counter("destroyed");
  logged_out = setup.counter("logged_out");
  lost = setup.counter("lost");
  store_errors = setup.counter("store_errors");
}

void Config::read_cookie(const Setup& setup) {
  const Node node = setup["cookie"];
  node["name"].read(cookie);
  if (!is_token(cookie) || cookie.size() > kLongestName)
    node["name"].error("\"" + cookie + "\" is not the name of a cookie");
  bool secure = true;
  node["secure"].read(secure);
  std::string_view same_site = "Lax";
  node["same_site"].choose<std::string_view>(same_site, {{"lax", "Lax"}, {"strict", "Strict"}, {"none", "None"}});
  bool persistent = false;
  node["persistent"].read(persistent);
  if (!secure && (begins_with(cookie, "__Host-") || begins_with(cookie, "__Secure-")))
    node["secure"].error("browsers refuse a cookie called " + cookie +
                         " that is not secure; without encryption it needs another \"name\"");
  else if (!secure && same_site == "None")
    node["secure"].error("browsers refuse a cookie with same_site: none that is not secure");
  else if (!secure)
    node["secure"].warning("whoever listens on the network can take over sessions; for development only");
  attributes = "; Path=/; HttpOnly; SameSite=" + std::string(same_site) + (secure ? "; Secure" : "");
  if (persistent) max_age = "; Max-Age=" + std::to_string(std::chrono::ceil<std::chrono::seconds>(absolute).count());
}

void Config::read_on_missing(const Node& node) {
  if (node.is_map()) {
    const Node redirect = node["redirect"];
    if (!redirect) node.error("write anonymous, reject, or {redirect: <url>}");
    return read_redirect(redirect);
  }
  node.choose(on_missing, {{"anonymous", OnMissing::anonymous}, {"reject", OnMissing::reject}});
}

void Config::read_redirect(const Node& node) {
  std::string location;
  if (!node.read(location)) return;
  on_missing = OnMissing::redirect;
  const bool is_path = location.starts_with('/') && !location.starts_with("//");
  const bool is_url = begins_with(location, "https://") || begins_with(location, "http://");
  const size_t at = location.find(kUrl);
  redirect_has_url = at != std::string::npos;
  redirect_front = location.substr(0, at);
  if (redirect_has_url) redirect_back = location.substr(at + kUrl.size());
  if (!is_path && !is_url) return node.error("must be a path, or a URL that begins with https:// or http://");
  for (const std::string& part : {redirect_front, redirect_back}) {
    if (part.find_first_of("{} \"<>\\^`|") != std::string::npos || !is_field_value(part))
      return node.error("must be a URL, in which {url}, once, stands for the request's path and query");
  }
}

}  // namespace sluice::session
