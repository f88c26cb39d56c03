#include "cli/explain.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/format.h"
#include "base/strings.h"
#include "cli/admin_client.h"
#include "cli/configuration.h"
#include "http/uri.h"
#include "snapshot/explain.h"
#include "snapshot/route_table.h"
#include "stats/families.h"

namespace sluice::cli {

namespace {

using snapshot::RouteMatch;
using snapshot::RouteQuery;
using snapshot::RouteSpec;
using snapshot::Variable;

// The request as the command line gives it, taken apart. Views point into the options and into `scratch`.
struct Request {
  http::Method method = http::Method::unknown;
  std::string_view scheme = "http";
  std::string_view authority;
  http::Target target;
  std::string scratch;
  std::string_view path;  // normalised
  std::vector<http::HeaderField> fields;
  http::HeaderMap headers;
  const snapshot::ListenerSpec* listener = nullptr;
};

// The listener at the URL's port; the first one if none is.
const snapshot::ListenerSpec& listener_for(const snapshot::Snapshot& snapshot, std::string_view authority) {
  const size_t colon = authority.rfind(':');
  const auto port =
      colon == std::string_view::npos ? std::optional<uint64_t>(80) : parse_u64(authority.substr(colon + 1));
  for (const snapshot::ListenerSpec& listener : snapshot.listeners) {
    if (listener.address.port() == port) return listener;
  }
  return snapshot.listeners.front();
}

// Fills `request`; returns what is wrong, or an empty text.
std::string read_request(const snapshot::Snapshot& snapshot, const Options& options, Request& request) {
  const std::string& url = options.operands[1];
  request.method = http::method_from(options.operands[0]);
  if (request.method == http::Method::unknown) {
    return fmt::format("{} is not a method that is known here; the answer would be 501 bad_method",
                       options.operands[0]);
  }
  for (const auto& [name, value] : options.headers) request.fields.push_back({name, value, http::header_id(name)});
  request.headers = http::HeaderMap(request.fields);
  const auto target = http::parse_target(url, request.method);
  if (!target) return fmt::format("\"{}\" is not a path or URL: {}", url, row(target.error().reason).text);
  request.target = *target;
  if (iequals(std::string_view(url).substr(0, 6), "https:")) request.scheme = "https";
  request.authority = target->authority.empty() ? request.headers.value(http::HeaderId::host) : target->authority;
  request.listener = &listener_for(snapshot, request.authority);
  request.scratch.resize(target->path.size());
  const auto path = http::normalise_path(target->path, request.scratch, request.listener->allow_encoded_slash);
  if (!path)
    return fmt::format("the answer would be 400 {}: {}", name(path.error().reason), row(path.error().reason).text);
  request.path = *path;
  return {};
}

// Whose values a template's variables have.
struct Named {
  const Request& request;
  std::string_view route;
};

// What only a real request has is shown by its name.
std::string_view variable_of(const void* owner, Variable variable) {
  const auto& [request, route] = *static_cast<const Named*>(owner);
  switch (variable) {
    case Variable::host: return http::host_of(request.authority);
    case Variable::path: return request.path;
    case Variable::query: return request.target.query;
    case Variable::method: return http::name(request.method);
    case Variable::scheme: return request.scheme;
    case Variable::client_ip: return "<client_ip>";
    case Variable::request_id: return "<request_id>";
    case Variable::tls_version: return "<tls_version>";
    case Variable::tls_cipher: return "<tls_cipher>";
    case Variable::tls_server_name: return "<tls_server_name>";
    case Variable::tls_client_subject: return "<tls_client_subject>";
    case Variable::tls_client_names: return "<tls_client_names>";
    case Variable::tls_client_fingerprint: return "<tls_client_fingerprint>";
    case Variable::route: return route;
  }
  return {};
}

std::string expanded(const snapshot::Template& source, const Request& request, const RouteSpec& route,
                     const RouteMatch& match) {
  std::array<char, 65536> out;
  const Named owner{request, route.name};
  const auto length = source.expand(
      {.captures = std::span(match.captures).first(match.capture_count), .variable = variable_of, .owner = &owner},
      out);
  return length ? std::string(out.data(), *length) : std::string("(too long)");
}

std::string with_query(std::string path, const http::Target& target) {
  return target.has_query ? fmt::format("{}?{}", path, target.query) : path;
}

// The path that the upstream, or the folder, sees.
std::string path_sent_on(const Request& request, const RouteSpec& route, const RouteMatch& match) {
  if (!route.rewrite->path.empty()) return expanded(route.rewrite->path, request, route, match);
  return std::string(http::without_prefix(request.path, route.rewrite->strip_prefix));
}

std::string upstreams_of(const RouteSpec& route, const snapshot::Snapshot& snapshot) {
  std::string text;
  for (const snapshot::SplitShare& share : route.split) {
    const std::string weight =
        route.split.size() > 1 ? fmt::format(" ({} of {})", share.weight, route.split_total) : "";
    text += fmt::format("{}{}{}", text.empty() ? "" : " or ", snapshot.clusters[share.cluster].name, weight);
  }
  return text;
}

// What the winner makes of the request.
std::string action_text(const snapshot::Snapshot& snapshot, const Request& request, const RouteMatch& match) {
  const RouteSpec& route = snapshot.routes[match.route];
  switch (route.action) {
    case snapshot::Action::respond:
      return fmt::format("answers: {}, {}", route.respond->status, route.respond->content_type);
    case snapshot::Action::redirect:
      return fmt::format("answers: {}, Location: {}", route.redirect->status,
                         expanded(route.redirect->to, request, route, match));
    case snapshot::Action::static_files:
      return fmt::format("serves: {} from {}", path_sent_on(request, route, match), route.files->root);
    case snapshot::Action::proxy: break;
  }
  const std::string host = route.rewrite->host->empty() ? std::string(request.authority)
                                                        : expanded(*route.rewrite->host, request, route, match);
  return fmt::format("sends: {} {} with Host {} to upstream {}", http::name(request.method),
                     with_query(path_sent_on(request, route, match), request.target), host,
                     upstreams_of(route, snapshot));
}

// The value of a series in the text that Prometheus reads.
double value_of(std::string_view metrics, std::string_view series) {
  const size_t at = metrics.find(fmt::format("\n{} ", series));
  if (at == std::string_view::npos) return 0;
  return std::strtod(std::string(metrics.substr(at + 1 + series.size(), 32)).c_str(), nullptr);
}

// What the plugin takes on average in each phase, as the gateway has measured it: "  id: request 0.3 µs, response 0.2 µs\n".
std::string time_text(std::string_view plugin, std::string_view metrics) {
  std::string text;
  for (const std::string_view phase : stats::row(stats::Family::plugin_calls).last_values) {
    const std::string labels = fmt::format("{{plugin=\"{}\",phase=\"{}\"}}", plugin, phase);
    const double calls = value_of(metrics, "sluice_plugin_calls_total" + labels);
    if (calls == 0) continue;
    const double micros = value_of(metrics, "sluice_plugin_cpu_seconds_total" + labels) / calls * 1e6;
    text += fmt::format("{}{} {:.1f} µs", text.empty() ? "" : ", ", phase, micros);
  }
  return fmt::format("  {}: {}\n", plugin, text.empty() ? "not called yet" : text);
}

// "plugins: id, limit\n": those of the listener, then the route's, and what each takes; empty if there are none.
std::string plugins_text(const snapshot::Snapshot& snapshot, const Request& request, const RouteSpec& route,
                         std::string_view metrics) {
  std::string text, times;
  for (const auto* list : {&request.listener->plugins, &route.plugins}) {
    for (const uint32_t index : *list) {
      const snapshot::PluginSpec& plugin = snapshot.plugins[index];
      text += fmt::format("{}{} ({})", text.empty() ? "plugins: " : ", ", plugin.name, plugin.module);
      if (!metrics.empty()) times += time_text(plugin.name, metrics);
    }
  }
  return text.empty() ? text : text + '\n' + times;
}

std::string request_text(const Request& request) {
  std::string text = fmt::format("listener: {}, {}\n", request.listener->name, request.listener->address.to_string());
  if (request.authority.empty()) text += "host: none; write a whole URL, or add -H 'Host: ...'\n";
  if (request.path != request.target.path) text += fmt::format("normalised from: {}\n", request.target.path);
  return text;
}

// What the command line says that a plugin would have verified.
struct GivenClaims final : snapshot::ClaimSource {
  const std::vector<std::pair<std::string, std::string>>& all;
  explicit GivenClaims(const Options& options) : all(options.claims) {}
  [[nodiscard]] bool find_claim(std::string_view name, std::string_view& value) const override {
    for (const auto& [each, its] : all) {
      if (each != name) continue;
      value = its;
      return true;
    }
    return false;
  }
};

}  // namespace

Explanation explain_request(const snapshot::Snapshot& snapshot, const Options& options, std::string_view metrics) {
  Request request;
  if (std::string wrong = read_request(snapshot, options, request); !wrong.empty()) return {wrong + '\n', kNoRoute};
  const GivenClaims claims(options);
  const RouteQuery query{.host = http::host_of(request.authority),
                         .path = request.path,
                         .query = request.target.query,
                         .method = request.method,
                         .headers = &request.headers,
                         .claims = &claims};
  RouteMatch match;
  const auto steps = snapshot.route_table.explain(query, match);
  std::string text = request_text(request) + snapshot::explain_text({snapshot.routes, query, match, steps});
  if (match.outcome != RouteMatch::Outcome::matched) return {text, kNoRoute};
  text += plugins_text(snapshot, request, snapshot.routes[match.route], metrics);
  return {text + action_text(snapshot, request, match) + '\n', kOk};
}

int explain(const Options& options) {
  const auto snapshot = load_configuration(options).snapshot;
  if (snapshot == nullptr) return kConfigurationError;
  std::string metrics;
  if (options.admin) {
    snapshot::AdminSpec admin = snapshot->admin;
    admin.address = *options.admin;
    const auto answer = ask_admin(admin, "GET /metrics");
    if (!answer) return kFailed;
    metrics = answer->body;
  }
  const Explanation explanation = explain_request(*snapshot, options, metrics);
  fmt::print("{}", explanation.text);
  return explanation.exit_code;
}

}  // namespace sluice::cli
