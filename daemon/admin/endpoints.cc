#include "admin/endpoints.h"

#include "admin/pages.h"
#include "base/address.h"
#include "base/strings.h"
#include "http/uri.h"
#include "stats/json.h"
#include "stats/prometheus.h"

namespace sluice::admin {

namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kYaml = "application/yaml";
constexpr http::MethodSet kPost = http::method_bit(http::Method::POST);
constexpr http::MethodSet kDelete = http::method_bit(http::Method::DELETE);
constexpr http::MethodSet kGet = http::method_bit(http::Method::GET) | http::method_bit(http::Method::HEAD);

Response index(const Request&, const Sources& sources) {
  return html_response(index_html(endpoints(), sources.version));
}

Response metrics(const Request&, const Sources& sources) {
  if (sources.refresh) sources.refresh();
  return {200, stats::kPrometheusContentType, stats::prometheus_text(sources.registry), {}};
}

Response stats_json(const Request&, const Sources& sources) {
  if (sources.refresh) sources.refresh();
  return {200, kJson, stats::json_text(sources.registry), {}};
}

Response healthz(const Request&, const Sources&) { return {200, kText, "ok\n", {}}; }

// Probes have no token, so what is wrong with a store stands in the log alone.
Response readyz(const Request&, const Sources& sources) {
  const auto snapshot = sources.current();
  bool ready = sources.ready();
  bool whole = true;
  std::string stores;
  for (size_t i = 0; i < snapshot->stores.size(); ++i) {
    const snapshot::StoreSpec& store = snapshot->stores[i];
    const bool available = sources.store_available(i);
    whole = whole && available;
    ready = ready && (available || !store.required);
    stores += "store " + store.name + (available ? ": available\n" : ": unavailable\n");
  }
  const std::string_view verdict = !ready ? "not ready\n" : whole ? "ready\n" : "degraded\n";
  return {static_cast<uint16_t>(ready ? 200 : 503), kText, std::string(verdict) + stores, {}};
}

Response config(const Request&, const Sources& sources) { return {200, kYaml, sources.current()->redacted_yaml, {}}; }

Response routes(const Request& request, const Sources& sources) {
  const auto snapshot = sources.current();
  std::string_view format;
  if (http::find_query_parameter(request.query, "format", format)) {
    if (format == "text") return {200, kText, routes_text(*snapshot, sources.registry), {}};
    if (format != "json") return problem(400, "bad_format", "format is json or text.");
  } else if (const auto* accept = request.headers.find("accept");
             accept != nullptr && accept->value.find("text/html") != std::string_view::npos) {
    return html_response(routes_html(*snapshot, sources.registry));
  }
  return {200, kJson, routes_json(*snapshot, sources.registry), {}};
}

Response upstreams(const Request&, const Sources& sources) {
  return {200, kJson, upstreams_json(sources, MonoClock::now()), {}};
}

Response config_errors(const Request& request, const Sources& sources) {
  Response response = reload_response(sources.last_reload(), wants_text(request));
  response.status = 200;
  return response;
}

Response reload(const Request&, const Sources& sources) {
  if (!sources.reload()) return problem(503, "shutting_down", "The gateway is ending, and takes no new configuration.");
  return {.after_reload = true};
}

Response drain(const Request& request, const Sources& sources) {
  sources.drain(request.method == http::Method::POST);
  return {200, kText, sources.ready() ? "ready\n" : "draining\n", {}};
}

// clang-format off
constexpr Endpoint kEndpoints[] = {
  {"/",          kGet, kHtml,                         false, index,      "This page."},
  {"/metrics",   kGet, stats::kPrometheusContentType, false, metrics,    "All figures, for Prometheus."},
  {"/stats",     kGet, kJson,                         false, stats_json, "All figures as JSON, with quantiles."},
  {"/healthz",   kGet, kText,                         true,  healthz,    "200 while the process lives."},
  {"/readyz",    kGet, kText,                         true,  readyz,     "200 while requests are served; 503 while starting, shutting down, or without a store that is required. Tells the state of each store."},
  {"/config",    kGet, kYaml,                         false, config,     "The running configuration: includes merged, secrets hidden."},
  {"/config/errors", kGet, kJson,                     false, config_errors, "What the last reload changed, or why it was refused. Also as text/plain."},
  {"/reload",    kPost, kJson,                        false, reload,     "Reads the configuration anew, and answers when it runs or is refused."},
  {"/drain",     kPost | kDelete, kText,              false, drain,      "POST: not ready any more, and connections end with their next answer. DELETE: ready again."},
  {"/routes",    kGet, kJson,                         false, routes,     "The routes and how often each was taken. A table in a browser or with ?format=text."},
  {"/upstreams", kGet, kJson,                         false, upstreams,  "The upstreams, their endpoints and how each one does."},
};
// clang-format on

const Endpoint* find_endpoint(std::string_view path) {
  for (const Endpoint& endpoint : kEndpoints) {
    if (endpoint.path == path) return &endpoint;
  }
  return nullptr;
}

// Takes the same time wherever the first difference is.
bool equal_secret(std::string_view given, std::string_view secret) {
  if (given.size() != secret.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i]);
  }
  return difference == 0;
}

// Authorization: Bearer <token> (RFC 6750 §2.1).
bool has_token(const Request& request, std::string_view token) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view value = request.headers.value(http::HeaderId::authorization);
  if (!iequals(value.substr(0, kScheme.size()), kScheme)) return false;
  return equal_secret(trim(value.substr(kScheme.size())), token);
}

bool is_local_host(std::string_view authority) {
  const std::string_view host = http::host_of(authority);
  if (host.empty() || iequals(host, "localhost")) return true;  // empty: HTTP/1.0, which no browser speaks
  if (authority.starts_with('[')) return true;
  const bool dotted = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return dotted && SocketAddress::parse(std::string(host) + ":1").has_value();
}

Response unauthorized() {
  Response response = problem(401, "unauthorized", "This needs 'Authorization: Bearer <the admin token>'.");
  response.fields.emplace_back("WWW-Authenticate", "Bearer realm=\"sluice admin\"");
  return response;
}

Response not_found() {
  std::string list;
  for (const Endpoint& endpoint : kEndpoints) {
    if (!list.empty()) list += ',';
    list += json_quoted(endpoint.path);
  }
  return problem(404, "not_found", "There is no such page; see endpoints.", "\"endpoints\":[" + list + "]");
}

Response method_not_allowed(const Endpoint& endpoint) {
  const std::string allowed = method_list(endpoint.methods);
  Response response = problem(405, "method_not_allowed", "This page takes " + allowed + ".");
  response.fields.emplace_back("Allow", allowed);
  return response;
}

}  // namespace

std::span<const Endpoint> endpoints() { return kEndpoints; }

Response answer(const Request& request, const Gate& gate, const Sources& sources) {
  const Endpoint* endpoint = find_endpoint(request.path);
  if (!gate.token.empty()) {
    const bool needs_token = endpoint == nullptr || !endpoint->open;
    if (needs_token && !has_token(request, gate.token)) return unauthorized();
  } else if (gate.local_host_only && !is_local_host(request.host)) {
    return problem(421, "foreign_host", "Without an admin token only localhost or an address is accepted as Host.");
  } else if (!http::is_safe(request.method) && request.headers.find("origin") != nullptr) {
    // Only web pages send Origin, and without a token none has business here.
    return problem(403, "foreign_origin", "Web pages may not change anything here.");
  }
  if (endpoint == nullptr) return not_found();
  if ((endpoint->methods & http::method_bit(request.method)) == 0) return method_not_allowed(*endpoint);
  return endpoint->handler(request, sources);
}

Response problem(uint16_t status, std::string_view code, std::string_view detail, std::string_view more) {
  std::string body = "{\"title\":" + json_quoted(http::phrase_of(status));
  body += ",\"status\":" + std::to_string(status);
  body += ",\"reason\":" + json_quoted(code);
  body += ",\"detail\":" + json_quoted(detail);
  if (!more.empty()) body.append(",").append(more);
  return {status, "application/problem+json", body + "}\n", {}};
}

bool wants_text(const Request& request) {
  const auto* accept = request.headers.find("accept");
  return accept != nullptr && accept->value.find("text/plain") != std::string_view::npos;
}

std::string method_list(http::MethodSet methods) {
  std::string list;
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::unknown); ++i) {
    const auto method = static_cast<http::Method>(i);
    if ((methods & http::method_bit(method)) == 0) continue;
    if (!list.empty()) list += ", ";
    list += http::name(method);
  }
  return list;
}

}  // namespace sluice::admin
