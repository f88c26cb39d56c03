// One request asked of RouteTable and of the naive router; what they disagree about, or nothing.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "naive_router.h"
#include "random_routes.h"

namespace sluice {

inline std::string text(const naive::Answer& answer, const std::vector<snapshot::RouteSpec>& routes) {
  switch (answer.outcome) {
    case snapshot::RouteMatch::Outcome::no_route: return "no route";
    case snapshot::RouteMatch::Outcome::method_not_allowed:
      return "method not allowed, allowed=" + std::to_string(answer.allowed);
    case snapshot::RouteMatch::Outcome::regex_limit: return "regex limit";
    case snapshot::RouteMatch::Outcome::matched: break;
  }
  std::string out = routes[answer.route].name;
  for (const auto& capture : answer.captures) out += " [" + capture + "]";
  return out;
}

inline naive::Answer answer_of(const snapshot::RouteMatch& match) {
  naive::Answer answer{.outcome = match.outcome};
  if (match.outcome == snapshot::RouteMatch::Outcome::method_not_allowed) answer.allowed = match.allowed;
  if (match.outcome != snapshot::RouteMatch::Outcome::matched) return answer;
  answer.route = match.route;
  for (uint32_t i = 0; i < match.capture_count; ++i) answer.captures.emplace_back(match.captures[i]);
  return answer;
}

inline std::string disagreement(const std::vector<snapshot::RouteSpec>& routes, const snapshot::RouteTable& table,
                                random_routes::Request& request) {
  using Verdict = snapshot::RouteTable::Step::Verdict;
  const snapshot::RouteQuery query = request.as_query();
  naive::Answer expected = naive::Router(routes).find(query);
  if (expected.outcome == snapshot::RouteMatch::Outcome::matched) expected.allowed = 0;
  snapshot::RouteMatch match;
  table.find(query, match);
  const naive::Answer found = answer_of(match);
  if (!(found == expected)) return "find gave " + text(found, routes) + ", expected " + text(expected, routes);

  const auto steps = table.explain(query, match);
  if (!(answer_of(match) == expected)) return "explain does not match as find does";
  std::set<uint32_t> matching;
  for (const auto& step : steps) {
    if (step.verdict == Verdict::won && step.route != expected.route) return "explain names another winner";
    if (step.verdict == Verdict::won || step.verdict == Verdict::later) matching.insert(step.route);
  }
  if (matching != std::set<uint32_t>(expected.matching.begin(), expected.matching.end())) {
    return "explain lists other routes that match than there are";
  }
  return {};
}

}  // namespace sluice
