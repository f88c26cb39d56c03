// Routing for people: what RouteTable::explain() found, and the list of routes, as text for a terminal (`sluice
// explain`, `sluice routes`) and as JSON (the admin listener). Pure functions; the text ends in a newline, the JSON
// does not.
#pragma once

#include <span>
#include <string>

#include "snapshot/route_table.h"
#include "snapshot/spec.h"

namespace sluice::snapshot {

/// "GET, HEAD"; "any" for all of them.
std::string method_names(http::MethodSet methods);

/// "header", "query parameter", "claim".
std::string_view word_for(Condition::Kind kind);

/// One explained request. `match` and `steps` are what RouteTable::explain() gave for `query` on a table built of
/// `routes`.
struct Explanation {
  std::span<const RouteSpec> routes;
  const RouteQuery& query;
  const RouteMatch& match;
  std::span<const RouteTable::Step> steps;
};

/// The winner and why, then a table of the others on the way, each with the reason why not.
std::string explain_text(const Explanation& explanation);
/// {"request": {...}, "outcome": "matched", "winner": {...}, "losers": [...]}; `allow` stands there for
/// method_not_allowed.
std::string explain_json(const Explanation& explanation);

/// One line per route in the order of the configuration: name, hosts, path, methods, conditions, target, source.
std::string route_list_text(std::span<const RouteSpec> routes, std::span<const ClusterSpec> clusters);
std::string route_list_json(std::span<const RouteSpec> routes, std::span<const ClusterSpec> clusters);

}  // namespace sluice::snapshot
