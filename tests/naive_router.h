// The router's specification as the plainest code that can be: every route is looked at, nothing is indexed. Property
// test and fuzzer compare RouteTable with it. Shares with RouteTable only what a pattern is (parse_pattern) and what an
// expression matches; the order of preference is written out here a second time.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/strings.h"
#include "http/uri.h"
#include "snapshot/expression.h"
#include "snapshot/pattern.h"
#include "snapshot/route_table.h"

namespace sluice::naive {

using snapshot::Condition;
using snapshot::Pattern;
using snapshot::RouteMatch;
using snapshot::RouteQuery;
using snapshot::RouteSpec;
using snapshot::Segment;

struct Answer {
  RouteMatch::Outcome outcome = RouteMatch::Outcome::no_route;
  uint32_t route = 0;
  http::MethodSet allowed = 0;
  std::vector<std::string> captures;
  std::vector<uint32_t> matching;  // every route that could serve the request, the winner first

  friend bool operator==(const Answer& a, const Answer& b) {
    return std::tie(a.outcome, a.route, a.allowed, a.captures) == std::tie(b.outcome, b.route, b.allowed, b.captures);
  }
};

inline std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  for (size_t at = 1; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    segments.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

inline bool takes(const Segment& segment, std::string_view text) {
  if (segment.kind == Segment::Kind::literal) return text == segment.text;
  if (text.empty()) return false;
  switch (segment.kind) {
    case Segment::Kind::integer: return snapshot::is_integer(text);
    case Segment::Kind::uuid: return snapshot::is_uuid(text);
    case Segment::Kind::expression: {
      static std::map<std::string, snapshot::Expression, std::less<>> compiled;
      auto at = compiled.find(segment.expression);
      if (at == compiled.end()) {
        auto result = snapshot::Expression::compile(segment.expression);
        at = compiled.emplace(segment.expression, std::move(std::get<snapshot::Expression>(result))).first;
      }
      return at->second.match(text) == snapshot::Expression::Outcome::match;
    }
    default: return true;
  }
}

inline std::optional<std::vector<std::string>> match_path(const Pattern& pattern, std::string_view path) {
  if (path.empty() || path[0] != '/') return std::nullopt;
  const std::vector<std::string_view> segments = split(path);
  std::vector<std::string> captures;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (i >= segments.size()) return std::nullopt;
    if (pattern[i].kind == Segment::Kind::rest) {
      captures.emplace_back(path.substr(static_cast<size_t>(segments[i].data() - path.data())));
      return captures;
    }
    if (!takes(pattern[i], segments[i])) return std::nullopt;
    if (pattern[i].is_parameter()) captures.emplace_back(segments[i]);
  }
  if (pattern.size() != segments.size()) return std::nullopt;
  return captures;
}

inline bool conditions_hold(const RouteSpec& route, const RouteQuery& query) {
  return std::all_of(route.match.conditions.begin(), route.match.conditions.end(), [&](const Condition& c) {
    if (c.kind == Condition::Kind::header) {
      return query.headers != nullptr &&
             std::any_of(query.headers->begin(), query.headers->end(), [&](const http::HeaderField& f) {
               return iequals(f.name, c.name) && (c.any || f.value == c.value);
             });
    }
    std::string_view value;
    if (!http::find_query_parameter(query.query, c.name, value)) return false;
    return c.any || http::decoded_equals(value, c.value);
  });
}

/// The hosts that may serve `host`, most specific first; "" is any.
inline std::vector<std::string> hosts_for(std::string_view host) {
  std::string lower(host);
  std::transform(lower.begin(), lower.end(), lower.begin(), to_lower);
  if (lower.ends_with('.')) lower.pop_back();
  std::vector<std::string> hosts;
  if (!lower.empty() && lower[0] != '.') {
    hosts.push_back(lower);
    for (size_t dot = lower.find('.', 1); dot != std::string::npos; dot = lower.find('.', dot + 1)) {
      hosts.push_back("*" + lower.substr(dot));
    }
  }
  hosts.emplace_back();
  return hosts;
}

inline bool serves(const RouteSpec& route, const std::string& host) {
  if (host.empty()) return route.match.hosts.empty();
  return std::find(route.match.hosts.begin(), route.match.hosts.end(), host) != route.match.hosts.end();
}

inline bool same_segment(const Segment& a, const Segment& b) {
  return a.kind == b.kind && a.expression == b.expression && (a.is_parameter() || a.text == b.text);
}

class Router {
 public:
  explicit Router(std::span<const RouteSpec> routes) : routes_(routes) {
    for (const RouteSpec& route : routes) patterns_.push_back(snapshot::parsed_pattern(route.match.path));
  }

  [[nodiscard]] Answer find(const RouteQuery& query) const {
    Answer answer;
    for (const std::string& host : hosts_for(query.host)) {
      for (const uint32_t route : candidates(host, query.path)) consider(route, query, answer);
    }
    if (answer.outcome == RouteMatch::Outcome::no_route && answer.allowed != 0) {
      answer.outcome = RouteMatch::Outcome::method_not_allowed;
    }
    return answer;
  }

 private:
  void consider(uint32_t route, const RouteQuery& query, Answer& answer) const {
    if (!conditions_hold(routes_[route], query)) return;
    const bool won = answer.outcome == RouteMatch::Outcome::matched;
    if ((routes_[route].match.methods & http::method_bit(query.method)) == 0) {
      if (!won) answer.allowed |= routes_[route].match.methods;
      return;
    }
    answer.matching.push_back(route);
    if (won) return;
    answer.outcome = RouteMatch::Outcome::matched;
    answer.route = route;
    answer.captures = *match_path(patterns_[route], query.path);
  }

  // The routes of one host whose pattern takes the path, in order of preference.
  [[nodiscard]] std::vector<uint32_t> candidates(const std::string& host, std::string_view path) const {
    std::vector<uint32_t> found;
    for (uint32_t i = 0; i < routes_.size(); ++i) {
      if (serves(routes_[i], host) && match_path(patterns_[i], path)) found.push_back(i);
    }
    std::sort(found.begin(), found.end(), [&](uint32_t a, uint32_t b) { return goes_before(a, b, host); });
    return found;
  }

  [[nodiscard]] bool goes_before(uint32_t a, uint32_t b, const std::string& host) const {
    const Pattern& p = patterns_[a];
    const Pattern& q = patterns_[b];
    for (size_t i = 0; i < std::min(p.size(), q.size()); ++i) {
      if (same_segment(p[i], q[i])) continue;
      if (rank(p[i]) != rank(q[i])) return rank(p[i]) < rank(q[i]);
      return first_named(p, i, host) < first_named(q, i, host);
    }
    const auto conditions = [&](uint32_t r) { return routes_[r].match.conditions.size(); };
    if (conditions(a) != conditions(b)) return conditions(a) > conditions(b);
    return a < b;
  }

  static int rank(const Segment& segment) {
    if (segment.kind == Segment::Kind::literal) return 0;
    return segment.is_typed() ? 1 : segment.kind == Segment::Kind::plain ? 2 : 3;
  }

  // The first route of the host that begins with the same segments up to the i-th.
  [[nodiscard]] uint32_t first_named(const Pattern& pattern, size_t i, const std::string& host) const {
    for (uint32_t r = 0; r < routes_.size(); ++r) {
      const Pattern& other = patterns_[r];
      if (!serves(routes_[r], host) || other.size() <= i) continue;
      if (std::equal(pattern.begin(), pattern.begin() + static_cast<ptrdiff_t>(i) + 1, other.begin(), same_segment))
        return r;
    }
    return UINT32_MAX;
  }

  std::span<const RouteSpec> routes_;
  std::vector<Pattern> patterns_;
};

}  // namespace sluice::naive
