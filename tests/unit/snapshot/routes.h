// Short ways to write a route and a request in a test.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "snapshot/route_table.h"

namespace sluice::snapshot::test {

/// A route to be refined: Route("/users/{id}").named("user").hosts({"a.test"}).methods({http::Method::GET}).
class Route {
 public:
  explicit Route(std::string_view path) {
    spec_.name = spec_.match.path = path;
    const auto checked = check_pattern(path);
    if (const auto* names = std::get_if<0>(&checked)) spec_.captures = *names;
  }
  Route& named(std::string_view name) { return spec_.name = name, *this; }
  Route& source(std::string_view source) { return spec_.source = source, *this; }
  Route& hosts(std::vector<std::string> hosts) { return spec_.match.hosts = std::move(hosts), *this; }
  Route& header(std::string_view name, std::string_view value) { return add(Kind::header, name, value, false); }
  Route& any_header(std::string_view name) { return add(Kind::header, name, "", true); }
  Route& query(std::string_view name, std::string_view value) { return add(Kind::query, name, value, false); }
  Route& any_query(std::string_view name) { return add(Kind::query, name, "", true); }
  Route& claim(std::string_view name, std::string_view value) { return add(Kind::claim, name, value, false); }
  Route& any_claim(std::string_view name) { return add(Kind::claim, name, "", true); }
  Route& methods(std::initializer_list<http::Method> methods) {
    spec_.match.methods = 0;
    for (const http::Method method : methods) spec_.match.methods |= http::method_bit(method);
    return *this;
  }
  operator RouteSpec() const { return spec_; }  // NOLINT: a Route is a RouteSpec in the making

 private:
  using Kind = Condition::Kind;
  Route& add(Kind kind, std::string_view name, std::string_view value, bool any) {
    spec_.match.conditions.push_back({kind, std::string(name), std::string(value), any});
    return *this;
  }
  RouteSpec spec_;
};

/// Claims for a query, as a plugin would have verified them.
struct Claims final : ClaimSource {
  std::vector<std::pair<std::string_view, std::string_view>> all;
  explicit Claims(std::initializer_list<std::pair<std::string_view, std::string_view>> claims) : all(claims) {}
  [[nodiscard]] bool find_claim(std::string_view name, std::string_view& value) const override {
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& claim) { return claim.first == name; });
    if (found != all.end()) value = found->second;
    return found != all.end();
  }
};

/// What find() says, as a table wants it: the winner's name and its captures ("user 7"), "404", "405 GET,HEAD" or
/// "limit".
inline std::string found(const std::vector<RouteSpec>& routes, const RouteTable& table, const RouteQuery& query) {
  RouteMatch match;
  table.find(query, match);
  if (match.outcome == RouteMatch::Outcome::no_route) return "404";
  if (match.outcome == RouteMatch::Outcome::regex_limit) return "limit";
  std::string out;
  if (match.outcome == RouteMatch::Outcome::matched) {
    out = routes[match.route].name;
    for (uint32_t i = 0; i < match.capture_count; ++i) out.append(" ").append(match.captures[i]);
    return out;
  }
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::unknown); ++i) {
    const auto method = static_cast<http::Method>(i);
    if ((match.allowed & http::method_bit(method)) != 0)
      out.append(out.empty() ? "405 " : ",").append(http::name(method));
  }
  return out;
}
inline std::string found(const std::vector<RouteSpec>& routes, const RouteQuery& query) {
  return found(routes, RouteTable::build(routes), query);
}

}  // namespace sluice::snapshot::test
