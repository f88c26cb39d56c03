#include "snapshot/explain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace sluice::snapshot {
namespace {

using Step = RouteTable::Step;
using Outcome = RouteMatch::Outcome;

constexpr size_t kMaxColumn = 48;  // a longer cell pushes the rest of its own line only

size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Columns as wide as their widest cell, two spaces between them, no white space at a line's end.
std::string aligned(const std::vector<std::vector<std::string>>& rows, std::string_view indent) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], std::min(width_of(row[i]), kMaxColumn));
  }
  std::string out;
  for (const auto& row : rows) {
    out += indent;
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 == row.size()) continue;
      out.append(widths[i] - std::min(widths[i], width_of(row[i])) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

// `items` are JSON already.
std::string json_array(const std::vector<std::string>& items) { return "[" + joined(items, ",") + "]"; }
std::string json_strings(std::vector<std::string> items) {
  for (std::string& item : items) item = json_quoted(item);
  return json_array(items);
}
std::string json_object(const std::vector<std::pair<std::string_view, std::string>>& fields) {
  std::vector<std::string> items;
  for (const auto& [name, value] : fields) items.push_back(json_quoted(name) + ":" + value);
  return "{" + joined(items, ",") + "}";
}

std::vector<std::string> names_of(http::MethodSet methods) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::unknown); ++i) {
    const auto method = static_cast<http::Method>(i);
    if ((methods & http::method_bit(method)) != 0) names.emplace_back(http::name(method));
  }
  return names;
}

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::matched: return "matched";
    case Outcome::no_route: return "no_route";
    case Outcome::method_not_allowed: return "method_not_allowed";
    case Outcome::regex_limit: return "regex_limit";
  }
  return "";
}

std::string_view name(Step::Verdict verdict) {
  switch (verdict) {
    case Step::Verdict::won: return "won";
    case Step::Verdict::host: return "host";
    case Step::Verdict::path: return "path";
    case Step::Verdict::method: return "method";
    case Step::Verdict::header: return "header";
    case Step::Verdict::query: return "query";
    case Step::Verdict::claim: return "claim";
    case Step::Verdict::later: return "later";
  }
  return "";
}

// As the list of routes shows them: "x-canary: 1", "?v=2", "claim tier=gold", "x-debug" for one that must merely be there.
std::vector<std::string> conditions_of(const RouteSpec& route) {
  std::vector<std::string> out;
  for (const Condition& c : route.match.conditions) {
    const bool is_header = c.kind == Condition::Kind::header;
    const std::string_view before = is_header ? "" : c.kind == Condition::Kind::query ? "?" : "claim ";
    out.push_back(std::string(before) + c.name + (c.any ? "" : (is_header ? ": " : "=") + c.value));
  }
  return out;
}

// The host of `route` by which it serves `host`: the exact one, or the longest wildcard.
std::string host_reason(const RouteSpec& route, std::string_view host) {
  if (route.match.hosts.empty()) return "it is for any host";
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string_view best;
  for (const std::string& candidate : route.match.hosts) {
    if (iequals(candidate, host)) return "host " + candidate + " is one of its hosts";
    if (!candidate.starts_with("*.") || host.size() < candidate.size() || candidate.size() <= best.size()) continue;
    const std::string_view suffix = std::string_view(candidate).substr(1);
    if (iequals(host.substr(host.size() - suffix.size()), suffix)) best = candidate;
  }
  return "host " + std::string(host) + " is covered by " + std::string(best);
}

// What made the winner win, one sentence each.
std::vector<std::string> reasons(const Explanation& e) {
  const RouteSpec& route = e.routes[e.match.route];
  std::vector<std::string> out{host_reason(route, e.query.host)};
  out.push_back("path " + std::string(e.query.path) + " fits " + route.match.path);
  out.push_back("method " + std::string(http::name(e.query.method)) + " is in [" + method_names(route.match.methods) +
                "]");
  for (const Condition& c : route.match.conditions) {
    out.push_back(std::string(word_for(c.kind)) + " " + c.name + (c.any ? " is there" : " is \"" + c.value + "\""));
  }
  const bool contested = std::any_of(e.steps.begin(), e.steps.end(),
                                     [](const Step& step) { return step.verdict == Step::Verdict::later; });
  out.push_back(contested ? "of the routes that match it is the most specific" : "no other route matches");
  return out;
}

std::vector<std::pair<std::string, std::string>> captures_of(const Explanation& e) {
  std::vector<std::pair<std::string, std::string>> out;
  const std::vector<std::string>& names = e.routes[e.match.route].captures;
  for (size_t i = 0; i < e.match.capture_count; ++i) {
    out.emplace_back(i < names.size() ? names[i] : std::to_string(i), e.match.captures[i]);
  }
  return out;
}

std::string winner_text(const Explanation& e) {
  if (e.match.outcome == Outcome::no_route) return "winner: none; the answer is 404 no_route\n";
  if (e.match.outcome == Outcome::method_not_allowed) {
    return "winner: none; the answer is 405 method_not_allowed, Allow: " + joined(names_of(e.match.allowed), ", ") +
           "\n";
  }
  if (e.match.outcome == Outcome::regex_limit) {
    return "winner: none; the answer is 500 regex_limit: an expression took too many steps\n";
  }
  const RouteSpec& route = e.routes[e.match.route];
  std::string out = "winner: " + route.name + " (" + route.source + "), pattern " + route.match.path;
  for (const auto& [name, value] : captures_of(e)) out.append(", ").append(name).append("=").append(value);
  out += '\n';
  for (const std::string& reason : reasons(e)) out += "  - " + reason + "\n";
  return out;
}

std::string winner_json(const Explanation& e) {
  const RouteSpec& route = e.routes[e.match.route];
  std::vector<std::pair<std::string_view, std::string>> captures;
  const auto values = captures_of(e);
  for (const auto& [name, value] : values) captures.emplace_back(name, json_quoted(value));
  return json_object({{"route", json_quoted(route.name)},
                      {"source", json_quoted(route.source)},
                      {"pattern", json_quoted(route.match.path)},
                      {"captures", json_object(captures)},
                      {"why", json_strings(reasons(e))}});
}

std::string target_of(const RouteSpec& route, std::span<const ClusterSpec> clusters) {
  switch (route.action) {
    case Action::respond: return "respond " + std::to_string(route.respond->status);
    case Action::redirect:
      return "redirect " + std::to_string(route.redirect->status) + " " + route.redirect->to.source();
    case Action::static_files: return "static " + route.files->root;
    case Action::proxy: break;
  }
  std::vector<std::string> shares;
  for (const SplitShare& share : route.split) {
    const std::string cluster = share.cluster < clusters.size() ? clusters[share.cluster].name : "?";
    shares.push_back(route.split.size() == 1 ? cluster : cluster + " " + std::to_string(share.weight));
  }
  return "proxy " + joined(shares, ", ");
}

std::string or_dash(std::string text) { return text.empty() ? "-" : text; }

}  // namespace

std::string_view word_for(Condition::Kind kind) {
  switch (kind) {
    case Condition::Kind::header: return "header";
    case Condition::Kind::query: return "query parameter";
    case Condition::Kind::claim: return "claim";
  }
  return "";
}

std::string method_names(http::MethodSet methods) {
  return methods == http::kAllMethods ? "any" : joined(names_of(methods), ", ");
}

std::string explain_text(const Explanation& e) {
  const std::string query = e.query.query.empty() ? "" : "?" + std::string(e.query.query);
  std::string out = "request: " + std::string(http::name(e.query.method)) + " " + std::string(e.query.host) +
                    std::string(e.query.path) + query + "\n" + winner_text(e);
  std::vector<std::vector<std::string>> rows{{"ROUTE", "SOURCE", "PATTERN", "LOST BY", "BECAUSE"}};
  for (const Step& step : e.steps) {
    if (step.verdict == Step::Verdict::won) continue;
    const RouteSpec& route = e.routes[step.route];
    const std::string_view lost_by = step.verdict == Step::Verdict::later ? "order" : name(step.verdict);
    rows.push_back({route.name, route.source, route.match.path, std::string(lost_by), step.detail});
  }
  if (rows.size() == 1) return out + "losers: none; no other route came near\n";
  return out + "losers, in the order in which they were tried:\n" + aligned(rows, "  ");
}

std::string explain_json(const Explanation& e) {
  std::vector<std::string> losers;
  for (const Step& step : e.steps) {
    if (step.verdict == Step::Verdict::won) continue;
    const RouteSpec& route = e.routes[step.route];
    losers.push_back(json_object({{"route", json_quoted(route.name)},
                                  {"source", json_quoted(route.source)},
                                  {"pattern", json_quoted(route.match.path)},
                                  {"verdict", json_quoted(name(step.verdict))},
                                  {"why", json_quoted(step.detail)}}));
  }
  std::vector<std::pair<std::string_view, std::string>> fields{
      {"request", json_object({{"method", json_quoted(http::name(e.query.method))},
                               {"host", json_quoted(e.query.host)},
                               {"path", json_quoted(e.query.path)},
                               {"query", json_quoted(e.query.query)}})},
      {"outcome", json_quoted(name(e.match.outcome))}};
  if (e.match.outcome == Outcome::matched) fields.emplace_back("winner", winner_json(e));
  if (e.match.outcome == Outcome::method_not_allowed)
    fields.emplace_back("allow", json_strings(names_of(e.match.allowed)));
  fields.emplace_back("losers", json_array(losers));
  return json_object(fields);
}

std::string route_list_text(std::span<const RouteSpec> routes, std::span<const ClusterSpec> clusters) {
  std::vector<std::vector<std::string>> rows{{"NAME", "HOSTS", "PATH", "METHODS", "CONDITIONS", "TARGET", "SOURCE"}};
  for (const RouteSpec& route : routes) {
    rows.push_back({route.name, or_dash(joined(route.match.hosts, ", ")), route.match.path,
                    method_names(route.match.methods), or_dash(joined(conditions_of(route), ", ")),
                    target_of(route, clusters), route.source});
  }
  return aligned(rows, "");
}

std::string route_list_json(std::span<const RouteSpec> routes, std::span<const ClusterSpec> clusters) {
  std::vector<std::string> items;
  for (const RouteSpec& route : routes) {
    items.push_back(json_object({{"name", json_quoted(route.name)},
                                 {"hosts", json_strings(route.match.hosts)},
                                 {"path", json_quoted(route.match.path)},
                                 {"methods", json_strings(names_of(route.match.methods))},
                                 {"conditions", json_strings(conditions_of(route))},
                                 {"target", json_quoted(target_of(route, clusters))},
                                 {"source", json_quoted(route.source)}}));
  }
  return json_array(items);
}

}  // namespace sluice::snapshot
