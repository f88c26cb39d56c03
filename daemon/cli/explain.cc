#include "cli/explain.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <optional>
#include <vector>

#include "base/strings.h"
#include "cli/configuration.h"
#include "cli/routes.h"
#include "http/uri.h"
#include "snapshot/route_table.h"

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
  const auto port = colon == std::string_view::npos ? std::optional<uint64_t>(80) : parse_u64(authority.substr(colon + 1));
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
    return fmt::format("{} is not a method that is known here; the answer would be 501 bad_method", options.operands[0]);
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
  if (!path) return fmt::format("the answer would be 400 {}: {}", name(path.error().reason), row(path.error().reason).text);
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
    case Variable::route: return route;
  }
  return {};
}

std::string expanded(const snapshot::Template& source, const Request& request, const RouteSpec& route, const RouteMatch& match) {
  std::array<char, 65536> out;
  const Named owner{request, route.name};
  const auto length = source.expand(
      {.captures = std::span(match.captures).first(match.capture_count), .variable = variable_of, .owner = &owner}, out);
  return length ? std::string(out.data(), *length) : std::string("(too long)");
}

std::string with_query(std::string path, const http::Target& target) {
  return target.has_query ? fmt::format("{}?{}", path, target.query) : path;
}

// The path that the upstream, or the folder, sees.
std::string path_sent_on(const Request& request, const RouteSpec& route, const RouteMatch& match) {
  if (!route.rewrite_path.empty()) return expanded(route.rewrite_path, request, route, match);
  std::string_view path = request.path;
  if (!route.strip_prefix.empty() && path.starts_with(route.strip_prefix)) path.remove_prefix(route.strip_prefix.size());
  return path.starts_with('/') ? std::string(path) : fmt::format("/{}", path);
}

std::string line(std::string_view word, std::string_view text) {
  return fmt::format("  {:<11}{}\n", word, text);
}

std::string request_lines(const Request& request) {
  const std::string host(http::host_of(request.authority));
  std::string text = line("listener", fmt::format("{}, {}", request.listener->name, request.listener->address.to_string()));
  text += line("host", host.empty() ? "(none; add -H 'Host: ...' or write a whole URL)" : host);
  text += line("path", request.path == request.target.path
                           ? std::string(request.path)
                           : fmt::format("{}, normalised from {}", request.path, request.target.path));
  return text;
}

std::string winner_lines(const snapshot::Snapshot& snapshot, const Request& request, const RouteMatch& match) {
  const RouteSpec& route = snapshot.routes[match.route];
  std::string text = line("route", fmt::format("{}, at {}", route.name, route.source));
  text += line("pattern", route.match.path);
  for (uint32_t i = 0; i < match.capture_count; ++i) {
    text += line("", fmt::format("{} = {}", route.captures[i], match.captures[i]));
  }
  text += line("leads to", destination_of(route, snapshot));
  if (route.action == snapshot::Action::redirect) {
    text += line("Location", expanded(route.redirect.to, request, route, match));
  }
  if (route.action == snapshot::Action::proxy || route.action == snapshot::Action::static_files) {
    text += line("sends", with_query(path_sent_on(request, route, match), request.target));
  }
  if (!route.rewrite_host.empty()) text += line("with Host", expanded(route.rewrite_host, request, route, match));
  return text;
}

std::string loser_lines(const RouteMatch& match) {
  switch (match.outcome) {
    case RouteMatch::Outcome::no_route: return line("answer", fmt::format("404 no_route: {}", row(Reason::no_route).text));
    case RouteMatch::Outcome::method_not_allowed:
      return line("answer", fmt::format("405 method_not_allowed, Allow: {}", methods_text(match.allowed)));
    case RouteMatch::Outcome::regex_limit:
      return line("answer", fmt::format("500 regex_limit: {}", row(Reason::regex_limit).text));
    case RouteMatch::Outcome::matched: break;
  }
  return {};
}

std::string_view verdict_text(snapshot::RouteTable::Step::Verdict verdict) {
  using Verdict = snapshot::RouteTable::Step::Verdict;
  switch (verdict) {
    case Verdict::won: return "wins";
    case Verdict::host: return "not this host";
    case Verdict::path: return "not this path";
    case Verdict::method: return "not this method";
    case Verdict::header: return "not these headers";
    case Verdict::query: return "not this query";
    case Verdict::later: return "comes later";
  }
  return {};
}

std::string step_lines(const snapshot::Snapshot& snapshot, const std::vector<snapshot::RouteTable::Step>& steps) {
  if (steps.empty()) return "\nNo route has a path like this one on this host.\n";
  std::string text = "\nConsidered, in this order:\n";
  for (const snapshot::RouteTable::Step& step : steps) {
    const RouteSpec& route = snapshot.routes[step.route];
    text += fmt::format("  {}, {}: {}{}{}\n", route.name, route.match.path, verdict_text(step.verdict),
                        step.detail.empty() ? "" : ": ", step.detail);
  }
  return text;
}

}  // namespace

Explanation explain_request(const snapshot::Snapshot& snapshot, const Options& options) {
  Request request;
  if (std::string wrong = read_request(snapshot, options, request); !wrong.empty()) return {wrong + '\n', kNoRoute};
  const RouteQuery query{.host = http::host_of(request.authority),
                         .path = request.path,
                         .query = request.target.query,
                         .method = request.method,
                         .headers = &request.headers};
  RouteMatch match;
  const auto steps = snapshot.route_table.explain(query, match);
  const bool matched = match.outcome == RouteMatch::Outcome::matched;
  std::string text = fmt::format("{} {}\n{}", options.operands[0], options.operands[1], request_lines(request));
  text += matched ? winner_lines(snapshot, request, match) : loser_lines(match);
  text += step_lines(snapshot, steps);
  return {text, matched ? kOk : kNoRoute};
}

int explain(const Options& options) {
  const auto snapshot = load_configuration(options);
  if (snapshot == nullptr) return kConfigurationError;
  const Explanation explanation = explain_request(*snapshot, options);
  fmt::print("{}", explanation.text);
  return explanation.exit_code;
}

}  // namespace sluice::cli
