// RouteTable against the naive router, on thousands of random route sets. A failure is shrunk to the fewest routes that
// still show it, and prints the seed.
#include <catch2/catch.hpp>
#include <random>

#include "../../compare_routers.h"

using namespace sluice;
using random_routes::Request;
using snapshot::RouteSpec;
using snapshot::RouteTable;

namespace {

auto maker(uint32_t seed) {
  auto next = [random = std::mt19937(seed)](size_t n) mutable { return random() % n; };
  return random_routes::Maker<decltype(next)>(std::move(next));
}

std::string disagreement_on(const std::vector<RouteSpec>& routes, Request& request) {
  return disagreement(routes, RouteTable::build(routes), request);
}

// Drops routes one by one as long as they still disagree.
std::string shrunk(std::vector<RouteSpec> routes, Request& request) {
  for (size_t i = 0; i < routes.size();) {
    std::vector<RouteSpec> fewer = routes;
    fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(i));
    if (!fewer.empty() && !disagreement_on(fewer, request).empty()) {
      routes = std::move(fewer);
    } else {
      ++i;
    }
  }
  return disagreement_on(routes, request) + "\nrequest: " + request.text() + "\nroutes:\n" +
         random_routes::text(routes);
}

}  // namespace

TEST_CASE("the route table finds what a naive search by the documented order of preference finds") {
  for (uint32_t seed = 1; seed <= 1500; ++seed) {
    auto make = maker(seed);
    const std::vector<RouteSpec> routes = make.routes(seed % 10 == 0 ? 120 : 12);
    const RouteTable table = RouteTable::build(routes);
    for (int i = 0; i < 25; ++i) {
      Request request = make.request();
      if (!disagreement(routes, table, request).empty()) FAIL("seed " << seed << ": " << shrunk(routes, request));
    }
  }
}

TEST_CASE("a route that is reported as shadowed never wins") {
  size_t warned = 0;
  for (uint32_t seed = 1; seed <= 400; ++seed) {
    auto make = maker(seed);
    const std::vector<RouteSpec> routes = make.routes(60);
    const auto warnings = snapshot::find_shadowed(routes);
    warned += warnings.size();
    if (warnings.empty()) continue;
    const RouteTable table = RouteTable::build(routes);
    for (int i = 0; i < 500; ++i) {
      Request request = make.request();
      snapshot::RouteMatch match;
      table.find(request.as_query(), match);
      if (match.outcome != snapshot::RouteMatch::Outcome::matched) continue;
      for (const auto& warning : warnings) {
        if (warning.route == match.route) {
          FAIL("seed " << seed << ": " << warning.message << ", but it serves " << request.text() << "\n"
                       << random_routes::text(routes));
        }
      }
    }
  }
  CHECK(warned > 50);  // else this test says nothing
}
