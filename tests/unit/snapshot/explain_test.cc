#include "snapshot/explain.h"

#include <catch2/catch.hpp>

#include "routes.h"

using namespace sluice;
using namespace sluice::snapshot;
using http::Method;
using test::Claims;
using test::Route;

namespace {

std::vector<RouteSpec> example() {
  return {
      Route("/api/v1/users/{id:int}")
          .named("user-by-id")
          .source("sluice.yaml:42")
          .hosts({"api.test"})
          .methods({Method::GET, Method::HEAD}),
      Route("/api/v1/users/{id:int}")
          .named("user-canary")
          .source("sluice.yaml:50")
          .hosts({"api.test"})
          .header("x-canary", "1"),
      Route("/api/v1/users/{name}").named("user-by-name").source("sluice.yaml:58").hosts({"api.test"}),
      Route("/api/v1/users/{key:uuid}").named("user-by-key").source("sluice.yaml:60").hosts({"api.test"}),
      Route("/api/v1/users/{id:int}").named("user-wild").source("sluice.yaml:66").hosts({"*.test"}),
      Route("/{all...}").named("site").source("sluice.yaml:70"),
      Route("/api/v1/users/{id:int}")
          .named("user-put")
          .source("sluice.yaml:74")
          .hosts({"api.test"})
          .methods({Method::PUT}),
      Route("/elsewhere").named("elsewhere").source("sluice.yaml:80").hosts({"b.example"}),
      Route("/search").named("search").source("sluice.yaml:84").any_query("q").methods({Method::GET}),
  };
}

struct Explained {
  explicit Explained(std::vector<RouteSpec> with, RouteQuery asked) : routes(std::move(with)), query(asked) {
    steps = RouteTable::build(routes).explain(query, match);
  }
  std::string text() const { return explain_text({routes, query, match, steps}); }
  std::string json() const { return explain_json({routes, query, match, steps}); }

  std::vector<RouteSpec> routes;
  RouteQuery query;
  RouteMatch match;
  std::vector<RouteTable::Step> steps;
};

}  // namespace

TEST_CASE("explain names the winner, why it won, and why each other route on the way did not") {
  const Explained e(example(), {.host = "api.test", .path = "/api/v1/users/7", .query = {}});
  CHECK(e.text() ==
        R"(request: GET api.test/api/v1/users/7
winner: user-by-id (sluice.yaml:42), pattern /api/v1/users/{id:int}, id=7
  - host api.test is one of its hosts
  - path /api/v1/users/7 fits /api/v1/users/{id:int}
  - method GET is in [GET, HEAD]
  - of the routes that match it is the most specific
losers, in the order in which they were tried:
  ROUTE         SOURCE          PATTERN                   LOST BY  BECAUSE
  user-canary   sluice.yaml:50  /api/v1/users/{id:int}    header   header x-canary is missing; it must be "1"
  user-put      sluice.yaml:74  /api/v1/users/{id:int}    method   method GET is not in [PUT]
  user-by-key   sluice.yaml:60  /api/v1/users/{key:uuid}  path     a uuid parameter does not take "7"
  user-by-name  sluice.yaml:58  /api/v1/users/{name}      order    segment 4: an int parameter goes before a plain parameter
  user-wild     sluice.yaml:66  /api/v1/users/{id:int}    order    its host *.test is less specific
  site          sluice.yaml:70  /{all...}                 order    it is for any host, and one for this host matches
)");
}

TEST_CASE("explain says what a condition found instead") {
  std::vector<http::HeaderField> fields{{"X-Canary", "0"}};
  const http::HeaderMap headers(fields);
  const Explained e(example(), {.host = "api.test", .path = "/api/v1/users/7", .query = {}, .headers = &headers});
  REQUIRE(!e.steps.empty());
  CHECK(e.steps[0].detail == "header x-canary is \"0\", not \"1\"");
  const Explained search({Route("/s").query("q", "1"), Route("/s").any_query("q")},
                         {.host = "", .path = "/s", .query = "q=2"});
  CHECK(search.steps[0].detail == "query parameter q is \"2\", not \"1\"");
  CHECK(search.steps[1].verdict == RouteTable::Step::Verdict::won);
  const Claims claims{{"tier", "silver"}};
  const Explained tiers(
      {Route("/t").claim("tier", "gold"), Route("/t").any_claim("sub"), Route("/t").any_claim("tier")},
      {.host = "", .path = "/t", .query = {}, .claims = &claims});
  CHECK(tiers.steps[0].detail == "claim tier is \"silver\", not \"gold\"");
  CHECK(tiers.steps[1].detail == "claim sub is missing");
  CHECK(tiers.steps[2].verdict == RouteTable::Step::Verdict::won);
}

TEST_CASE("explain tells 405 from 404, with the methods that would do") {
  const std::vector<RouteSpec> routes{Route("/a").named("a").methods({Method::GET, Method::HEAD})};
  const Explained wrong_method(routes, {.host = "x", .path = "/a", .query = {}, .method = Method::POST});
  CHECK_THAT(wrong_method.text(), Catch::Matchers::Contains("405 method_not_allowed, Allow: GET, HEAD\n"));
  CHECK_THAT(wrong_method.text(), Catch::Matchers::Contains("method POST is not in [GET, HEAD]"));
  const Explained nothing(routes, {.host = "x", .path = "/b", .query = "q=1"});
  CHECK(nothing.text() ==
        "request: GET x/b?q=1\nwinner: none; the answer is 404 no_route\nlosers: none; no other route came near\n");
}

TEST_CASE("explain names routes of other hosts when the asked host has no match") {
  const Explained e(
      {Route("/elsewhere").named("elsewhere").hosts({"b.example"}), Route("/elsewhere/x").hosts({"c.example"})},
      {.host = "a.example", .path = "/elsewhere", .query = {}});
  REQUIRE(e.steps.size() == 1);
  CHECK(e.steps[0].verdict == RouteTable::Step::Verdict::host);
  CHECK(e.steps[0].detail == "it serves b.example, not a.example");
}

TEST_CASE("explain names the expression that took too many steps") {
  const std::string path = "/" + std::string(60, 'a') + "b";
  const Explained e({Route("/{x:(a|aa)+[bc][bc]}").named("evil"), Route("/{x}").named("plain")},
                    {.host = "", .path = path, .query = {}});
  REQUIRE(e.steps.size() == 2);
  CHECK_THAT(e.steps[0].detail, Catch::Matchers::StartsWith("a parameter with an expression took too many steps"));
  CHECK(e.steps[1].verdict == RouteTable::Step::Verdict::later);
  CHECK_THAT(e.text(), Catch::Matchers::Contains("500 regex_limit"));
}

TEST_CASE("explain tells ties of one path apart") {
  const Explained e({Route("/{a}").named("first"), Route("/{b}").named("second")},
                    {.host = "", .path = "/x", .query = {}});
  REQUIRE(e.steps.size() == 2);
  CHECK(e.steps[1].detail == "the same path and as many conditions, but later in the configuration");
  const Explained more({Route("/{a}").named("none"), Route("/{b}").named("one").any_query("q")},
                       {.host = "", .path = "/x", .query = "q"});
  REQUIRE(more.steps.size() == 2);
  CHECK(more.match.route == 1);
  CHECK(more.steps[1].detail == "the same path, but fewer conditions");
}

TEST_CASE("explain does not list a thousand near misses") {
  std::vector<RouteSpec> routes{Route("/{all...}").named("all")};
  for (int i = 0; i < 1000; ++i) routes.push_back(Route("/{x:n" + std::to_string(i) + "}"));
  const Explained e(std::move(routes), {.host = "", .path = "/none", .query = {}});
  CHECK(e.steps.size() < 100);
  CHECK(e.steps.back().verdict == RouteTable::Step::Verdict::won);
}

TEST_CASE("explain as JSON has the same content") {
  const Explained e({Route("/u/{id:int}").named("user \"x\"").source("a.yaml:1"),
                     Route("/u/{n}").named("any").source("a.yaml:2").methods({Method::PUT})},
                    {.host = "a.test", .path = "/u/7", .query = "q=1"});
  CHECK(
      e.json() ==
      R"({"request":{"method":"GET","host":"a.test","path":"/u/7","query":"q=1"},"outcome":"matched",)"
      R"("winner":{"route":"user \"x\"","source":"a.yaml:1","pattern":"/u/{id:int}","captures":{"id":"7"},)"
      R"("why":["it is for any host","path /u/7 fits /u/{id:int}","method GET is in [any]","no other route matches"]},)"
      R"("losers":[{"route":"any","source":"a.yaml:2","pattern":"/u/{n}","verdict":"method","why":"method GET is not in [PUT]"}]})");
  const Explained none({Route("/u").methods({Method::PUT})}, {.host = "", .path = "/u", .query = {}});
  CHECK_THAT(none.json(), Catch::Matchers::Contains(R"("outcome":"method_not_allowed","allow":["PUT"],"losers":[)"));
}

TEST_CASE("the list of routes shows what each matches and where it goes") {
  std::vector<RouteSpec> routes{
      Route("/u/{id}")
          .named("user")
          .source("a.yaml:3")
          .hosts({"a.test", "*.b.test"})
          .methods({Method::GET})
          .header("x-a", "1")
          .any_query("v"),
      Route("/").named("home").source("a.yaml:9"), Route("/old").named("old").source("a.yaml:12"),
      Route("/f/{path...}").named("files").source("a.yaml:15"), Route("/ok").named("ok").source("a.yaml:18")};
  routes[0].split = {{.cluster = 0, .weight = 95}, {.cluster = 1, .weight = 5}};
  routes[1].split = {{.cluster = 1, .weight = 1}};
  std::string error;
  size_t at = 0;
  routes[2].action = Action::redirect;
  routes[2].redirect.make().to = *Template::compile("https://{host}/", {}, error, at);
  routes[3].action = Action::static_files;
  routes[3].files.make().root = "/srv/www";
  routes[4].action = Action::respond;
  const std::vector<ClusterSpec> clusters{{.name = "users"}, {.name = "web"}};
  CHECK(route_list_text(routes, clusters) ==
        R"(NAME   HOSTS             PATH          METHODS  CONDITIONS  TARGET                        SOURCE
user   a.test, *.b.test  /u/{id}       GET      x-a: 1, ?v  proxy users 95, web 5         a.yaml:3
home   -                 /             any      -           proxy web                     a.yaml:9
old    -                 /old          any      -           redirect 308 https://{host}/  a.yaml:12
files  -                 /f/{path...}  any      -           static /srv/www               a.yaml:15
ok     -                 /ok           any      -           respond 200                   a.yaml:18
)");
  CHECK_THAT(route_list_json(routes, clusters),
             Catch::Matchers::StartsWith(
                 R"([{"name":"user","hosts":["a.test","*.b.test"],"path":"/u/{id}","methods":["GET"],)"
                 R"("conditions":["x-a: 1","?v"],"target":"proxy users 95, web 5","source":"a.yaml:3"},)"));
}
