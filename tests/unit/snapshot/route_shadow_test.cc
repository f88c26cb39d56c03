#include <catch2/catch.hpp>

#include "routes.h"

using namespace sluice;
using namespace sluice::snapshot;
using http::Method;
using test::Route;

namespace {

// "loser<winner" for each warning.
std::string shadowed(std::vector<RouteSpec> routes) {
  std::string out;
  for (const RouteWarning& warning : find_shadowed(routes)) {
    out += (out.empty() ? "" : " ") + routes[warning.route].name + "<" + routes[warning.shadowed_by].name;
  }
  return out;
}

}  // namespace

TEST_CASE("a route behind an equal one can never match") {
  CHECK(shadowed({Route("/a/{x}").named("1"), Route("/a/{y}").named("2")}) == "2<1");
  CHECK(shadowed({Route("/a").named("1"), Route("/a/").named("2"), Route("/{a}").named("3")}) == "");
  CHECK(shadowed({Route("/{a:[a-z]}").named("1"), Route("/{b:[a-z]}").named("2"), Route("/{b:[a-y]}").named("3")}) ==
        "2<1");
}

TEST_CASE("methods must be covered, by one route or by several together") {
  CHECK(shadowed({Route("/a").named("1").methods({Method::GET}),
                  Route("/a").named("2").methods({Method::GET, Method::PUT})}) == "");
  CHECK(shadowed({Route("/a").named("1").methods({Method::GET}), Route("/a").named("2").methods({Method::PUT}),
                  Route("/a").named("3").methods({Method::GET, Method::PUT})}) == "3<1");
}

TEST_CASE("a route with fewer conditions shadows nothing that is tried before it") {
  CHECK(shadowed({Route("/a").named("1"), Route("/a").named("2").header("x", "1")}) == "");
  CHECK(shadowed({Route("/a").named("1").header("x", "1"), Route("/a").named("2").header("x", "1")}) == "2<1");
  CHECK(shadowed({Route("/a").named("1").header("x", "1"), Route("/a").named("2").header("x", "2")}) == "");
  CHECK(shadowed({Route("/a").named("1").header("x", "1"), Route("/a").named("2").query("x", "1")}) == "");
  CHECK(shadowed({Route("/a").named("1").header("x", "1").query("y", "2"),
                  Route("/a").named("2").query("y", "2").header("x", "1")}) == "2<1");
}

TEST_CASE("a condition on mere presence covers one on a value") {
  CHECK(shadowed({Route("/a").named("1").any_header("x"), Route("/a").named("2").header("x", "1")}) == "2<1");
  CHECK(shadowed({Route("/a").named("1").header("x", "1"), Route("/a").named("2").any_header("x")}) == "");
}

TEST_CASE("a route must be shadowed at each of its hosts") {
  CHECK(shadowed({Route("/a").named("1").hosts({"a.test"}), Route("/a").named("2").hosts({"A.test"})}) == "2<1");
  CHECK(shadowed({Route("/a").named("1").hosts({"a.test"}), Route("/a").named("2").hosts({"a.test", "b.test"})}) == "");
  CHECK(shadowed({Route("/a").named("1").hosts({"a.test"}), Route("/a").named("2").hosts({"b.test"}),
                  Route("/a").named("3").hosts({"a.test", "b.test"})}) == "3<1");
  CHECK(shadowed({Route("/a").named("1").hosts({"a.test"}), Route("/a").named("2")}) == "");
  CHECK(shadowed({Route("/a").named("1"), Route("/a").named("2").hosts({"a.test"})}) == "");
  CHECK(shadowed({Route("/a").named("1").hosts({"*.test"}), Route("/a").named("2").hosts({"a.test"})}) == "");
}

TEST_CASE("an expression that takes every segment shadows a plain parameter, whatever the order") {
  CHECK(shadowed({Route("/a/{x}").named("1"), Route("/a/{x:.+}").named("2")}) == "1<2");
  CHECK(shadowed({Route("/{a}/{x}/c").named("1"), Route("/{b}/{x:[^/]+}/c").named("2")}) == "1<2");
  CHECK(shadowed({Route("/a/{x}").named("1"), Route("/a/{x:.+}").named("2").header("x", "1")}) == "");
  CHECK(shadowed({Route("/a/{x}").named("1").header("x", "1").header("y", "1"),
                  Route("/a/{x:.+}").named("2").any_header("x")}) == "1<2");
  CHECK(shadowed({Route("/a/{x}").named("1"), Route("/a/{x:.+}/b").named("2"), Route("/a/{x...}").named("3")}) == "");
}

TEST_CASE("a query parameter cannot have two values") {
  CHECK(shadowed({Route("/a").named("1").query("v", "1").query("v", "2")}) == "1<1");
  CHECK(shadowed({Route("/a").named("1").header("v", "1").header("v", "2")}) == "");  // a header can stand there twice
}

TEST_CASE("the warning names both routes and says why") {
  const std::vector<RouteSpec> routes{Route("/a").named("old").source("s.yaml:1"),
                                      Route("/a").named("new").source("s.yaml:7")};
  REQUIRE(find_shadowed(routes).size() == 1);
  CHECK(
      find_shadowed(routes)[0].message ==
      "route 'new' (s.yaml:7) can never match: 'old' (s.yaml:1) has the same hosts and path and is always tried first");
}
