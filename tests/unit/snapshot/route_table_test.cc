// Routing, learnt from its test: tables of patterns, one line per lookup.
#include "snapshot/route_table.h"

#include <catch2/catch.hpp>

#include "routes.h"

using namespace sluice;
using namespace sluice::snapshot;
using http::Method;
using test::Claims;
using test::found;
using test::Route;

namespace {

struct Lookup {
  std::string_view path;
  std::string_view expected;
};

void check(const std::vector<RouteSpec>& routes, std::initializer_list<Lookup> lookups) {
  const RouteTable table = RouteTable::build(routes);
  for (const Lookup& lookup : lookups) {
    INFO(lookup.path);
    CHECK(found(routes, table, {.host = "a.test", .path = lookup.path, .query = {}}) == lookup.expected);
  }
}

std::string found_at_host(const std::vector<RouteSpec>& routes, std::string_view host, std::string_view path = "/") {
  return found(routes, {.host = host, .path = path, .query = {}});
}

// The headers of a request, and the request that has them.
struct Asked {
  std::vector<http::HeaderField> fields;
  std::string_view query;
  std::string answer(const std::vector<RouteSpec>& routes, std::string_view path = "/", Method method = Method::GET) {
    const http::HeaderMap headers(fields);
    return found(routes, {.host = "a.test", .path = path, .query = query, .method = method, .headers = &headers});
  }
};

}  // namespace

TEST_CASE(
    "at each segment a literal goes before a typed parameter, that before a plain one, and that before the rest") {
  check({Route("/users/{path...}").named("rest"), Route("/users/{name}").named("plain"),
         Route("/users/{id:int}").named("int"), Route("/users/{key:uuid}").named("uuid"),
         Route("/users/{word:[a-f]+}").named("word"), Route("/users/me").named("me"),
         Route("/users/me/keys").named("keys")},
        {
            {"/users/me", "me"},
            {"/users/7", "int 7"},
            {"/users/-7", "int -7"},
            {"/users/-", "plain -"},
            {"/users/7x", "plain 7x"},
            {"/users/123e4567-E89B-12d3-a456-426614174000", "uuid 123e4567-E89B-12d3-a456-426614174000"},
            {"/users/123e4567-e89b-12d3-a456-42661417400g", "plain 123e4567-e89b-12d3-a456-42661417400g"},
            {"/users/cafe", "word cafe"},
            {"/users/cafe-bar", "plain cafe-bar"},  // an expression is anchored at both ends
            {"/users/me/keys", "keys"},
            {"/users/me/key", "rest me/key"},
            {"/users/", "rest "},  // a parameter takes no empty segment, the rest may be empty
            {"/users", "404"},     // but the slash before it must be there
            {"/users//x", "rest /x"},
            {"/Users/me", "404"},  // paths are compared as they are
            {"/", "404"},
            {"", "404"},
            {"*", "404"},
            {"users/me", "404"},
        });
}

TEST_CASE("typed parameters of one place are tried in the order in which the configuration first names them") {
  check({Route("/{a:[0-9]+}/x").named("digits"), Route("/{a:int}/x").named("int"), Route("/{a:int}/y").named("int-y"),
         Route("/{a:[0-9]+}/y").named("digits-y")},
        {{"/7/x", "digits 7"}, {"/-7/x", "int -7"}, {"/7/y", "digits-y 7"}, {"/-7/y", "int-y -7"}});
}

TEST_CASE("a dead end never hides a match") {
  check({Route("/a/b/c").named("abc"), Route("/a/{x}/d").named("axd"), Route("/{x}/b/{y}").named("xby"),
         Route("/{x:[a-z]+}/{y}/e").named("re"), Route("/{all...}").named("all")},
        {
            {"/a/b/c", "abc"},
            {"/a/b/d", "axd b"},   // the literal b leads nowhere
            {"/a/b/e", "re a b"},  // nor do a/b and a/{x}, and an expression goes before a plain parameter
            {"/A/b/e", "xby A e"},
            {"/a/b/x", "xby a x"},
            {"/a/b", "all a/b"},
            {"/a/b/c/d", "all a/b/c/d"},
            {"/", "all "},
        });
}

TEST_CASE("literals may share any prefix, be of any length, and hold any byte of a path") {
  const std::string ten(300, 'x');
  check({Route("/a").named("a"), Route("/ab").named("ab"), Route("/abc").named("abc"), Route("/abd/").named("abd/"),
         Route("/" + ten + "y").named("long-y"), Route("/" + ten + "z/{id}").named("long-z"),
         Route("/%C3%A9/a+b,c;d=e@f").named("odd"), Route("//").named("//"), Route("/a//b").named("a//b")},
        {{"/a", "a"},
         {"/ab", "ab"},
         {"/abc", "abc"},
         {"/abd/", "abd/"},
         {"/abd", "404"},
         {"/abcd", "404"},
         {"/a/", "404"},  // a slash at the end makes another path
         {"/" + ten + "y", "long-y"},
         {"/" + ten + "z/5", "long-z 5"},
         {"/" + ten, "404"},
         {"/%C3%A9/a+b,c;d=e@f", "odd"},
         {"//", "//"},
         {"/a//b", "a//b"},
         {"/a/b", "404"}});
}

TEST_CASE("children are found however many there are") {
  std::vector<RouteSpec> routes;
  const std::string_view bytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@";
  for (const char byte : bytes) routes.push_back(Route("/sixteen-byte-le" + std::string(1, byte) + "/tail"));
  for (const char byte : bytes) {
    const std::string path = "/sixteen-byte-le" + std::string(1, byte) + "/tail";
    CHECK(found(routes, {.host = "", .path = path, .query = {}}) == path);
  }
  CHECK(found(routes, {.host = "", .path = "/sixteen-byte-le%/tail", .query = {}}) == "404");
}

TEST_CASE("a host is served by its exact name, then the longest wildcard, then routes for any host") {
  const std::vector<RouteSpec> routes{Route("/").named("any"), Route("/").named("test").hosts({"*.test"}),
                                      Route("/").named("wild").hosts({"*.api.test"}),
                                      Route("/").named("exact").hosts({"api.test", "eu.api.test"})};
  CHECK(found_at_host(routes, "api.test") == "exact");
  CHECK(found_at_host(routes, "eu.api.test") == "exact");
  CHECK(found_at_host(routes, "us.api.test") == "wild");
  CHECK(found_at_host(routes, "a.us.api.test") == "wild");
  CHECK(found_at_host(routes, "xapi.test") == "test");
  CHECK(found_at_host(routes, "test") == "any");  // a wildcard stands for one label or more
  CHECK(found_at_host(routes, ".test") == "any");
  CHECK(found_at_host(routes, "") == "any");
  CHECK(found_at_host(routes, "[::1]") == "any");
  CHECK(found_at_host(routes, std::string(300, 'a') + ".test") == "any");
  CHECK(found_at_host(routes, "API.Test") == "exact");   // any case
  CHECK(found_at_host(routes, "API.Test.") == "exact");  // trailing dot
  CHECK(found_at_host(routes, "US.API.TEST.") == "wild");
}

TEST_CASE("a host without a match for the path falls back to the next less specific one") {
  const std::vector<RouteSpec> routes{Route("/").named("any"), Route("/any").named("any"),
                                      Route("/{x}").named("wild").hosts({"*.test"}),
                                      Route("/own").named("own").hosts({"a.test"}),
                                      Route("/posted").named("posted").hosts({"a.test"}).methods({Method::POST})};
  CHECK(found_at_host(routes, "a.test", "/own") == "own");
  CHECK(found_at_host(routes, "a.test", "/any") == "wild any");
  CHECK(found_at_host(routes, "a.test", "/") == "any");
  CHECK(found_at_host(routes, "a.test", "/posted") == "wild posted");  // the method decides as well
  CHECK(found_at_host({Route("/").hosts({"a.test"})}, "b.test") == "404");
}

TEST_CASE("405 is for a path that routes would serve by other methods, all of which it names") {
  const std::vector<RouteSpec> routes{Route("/u/{id}").named("get").methods({Method::GET, Method::HEAD}),
                                      Route("/u/me").named("put").methods({Method::PUT}),
                                      Route("/u/me").named("post").methods({Method::POST}).header("x-a", "1"),
                                      Route("/u/me").named("host").methods({Method::DELETE}).hosts({"a.test"})};
  const auto answer = [&](std::string_view path, Method method) {
    return found(routes, {.host = "a.test", .path = path, .query = {}, .method = method});
  };
  CHECK(answer("/u/me", Method::GET) == "get me");  // the literal has no GET: not hidden by it
  CHECK(answer("/u/me", Method::PUT) == "put");
  CHECK(answer("/u/me", Method::DELETE) == "host");
  CHECK(answer("/u/me", Method::PATCH) == "405 GET,HEAD,PUT,DELETE");  // POST would need its header
  CHECK(answer("/u/7", Method::PUT) == "405 GET,HEAD");
  CHECK(answer("/v", Method::PUT) == "404");
  CHECK(answer("/u/me", Method::unknown) == "405 GET,HEAD,PUT,DELETE");
}

TEST_CASE(
    "of the routes of one path, those with more conditions are tried first, then in the order of the configuration") {
  const std::vector<RouteSpec> routes{Route("/").named("none"), Route("/").named("one").header("x-a", "1"),
                                      Route("/").named("also-one").any_query("v"),
                                      Route("/").named("two").header("x-a", "1").query("v", "2 3")};
  CHECK(Asked{}.answer(routes) == "none");
  CHECK(Asked{{{"X-A", "1"}}, ""}.answer(routes) == "one");
  CHECK(Asked{{{"X-A", "11"}}, ""}.answer(routes) == "none");
  CHECK(Asked{{{"x-b", "1"}}, ""}.answer(routes) == "none");
  CHECK(Asked{{}, "u=1&v"}.answer(routes) == "also-one");
  CHECK(Asked{{{"x-a", "1"}}, "v=9"}.answer(routes) == "one");
  CHECK(Asked{{{"x-a", "1"}}, "v=2%203"}.answer(routes) == "two");  // compared decoded
}

TEST_CASE("a claim counts only as a plugin verified it, and is compared as it is") {
  const std::vector<RouteSpec> routes{Route("/").named("gold").claim("tier", "gold"),
                                      Route("/").named("known").any_claim("sub"), Route("/").named("any"),
                                      Route("/vip").named("vip").claim("tier", "gold")};
  const auto winner = [&](std::string_view path, const ClaimSource* claims) {
    std::vector<http::HeaderField> fields{{"tier", "gold"}};
    const http::HeaderMap headers(fields);
    return found(routes, {.host = "h", .path = path, .query = "tier=gold", .headers = &headers, .claims = claims});
  };
  const Claims gold{{"sub", "ann"}, {"tier", "gold"}}, silver{{"tier", "Gold"}, {"sub", ""}};
  CHECK(winner("/", &gold) == "gold");
  CHECK(winner("/", &silver) == "known");
  CHECK(winner("/", nullptr) == "any");
  CHECK(winner("/vip", &gold) == "vip");
  CHECK(winner("/vip", &silver) == "404");
  CHECK(winner("/vip", nullptr) == "404");
}

TEST_CASE("a header condition looks at every field of that name, known to the gateway or not") {
  const std::vector<RouteSpec> routes{Route("/").named("other").header("x-a", "1"),
                                      Route("/").named("known").header("user-agent", "probe")};
  CHECK(Asked{{{"x-a", "0"}, {"X-a", "1"}}, ""}.answer(routes) == "other");
  CHECK(Asked{{{"User-Agent", "probe", http::HeaderId::user_agent}}, ""}.answer(routes) == "known");
  CHECK(Asked{{{"User-Agent", "other", http::HeaderId::user_agent}}, ""}.answer(routes) == "404");
  CHECK(found(routes, {.host = "", .path = "/", .query = {}}) == "404");  // no headers at all
}

TEST_CASE("a condition that fails is a dead end like any other") {
  const std::vector<RouteSpec> routes{Route("/u/me").named("canary").header("x-a", "1"), Route("/u/{id}").named("user"),
                                      Route("/{all...}").named("all").methods({Method::POST})};
  CHECK(Asked{{{"x-a", "1"}}, ""}.answer(routes, "/u/me") == "canary");
  CHECK(Asked{}.answer(routes, "/u/me") == "user me");
  CHECK(Asked{}.answer(routes, "/v", Method::POST) == "all v");
}

TEST_CASE("sixteen parameters are captured in order, as views into the path") {
  std::string pattern;
  std::string path;
  for (size_t i = 0; i < kMaxCaptures; ++i) {
    pattern += "/{p" + std::to_string(i) + "}";
    path += "/" + std::to_string(i);
  }
  const std::vector<RouteSpec> routes{Route(pattern)};
  RouteMatch match;
  RouteTable::build(routes).find({.host = "", .path = path, .query = {}}, match);
  REQUIRE(match.capture_count == kMaxCaptures);
  for (size_t i = 0; i < kMaxCaptures; ++i) {
    CHECK(match.captures[i] == std::to_string(i));
    CHECK(match.captures[i].data() > path.data());
    CHECK(match.captures[i].data() < path.data() + path.size());
  }
}

TEST_CASE("an expression that runs away ends the search instead of letting a lesser route serve the request") {
  const std::vector<RouteSpec> routes{Route("/{x:(a|aa)+[bc][bc]}").named("evil"), Route("/{x}").named("plain"),
                                      Route("/aab").named("literal")};
  const std::string hostile = "/" + std::string(60, 'a') + "b";
  CHECK(found(routes, {.host = "", .path = hostile, .query = {}}) == "limit");
  CHECK(found(routes, {.host = "", .path = "/aabc", .query = {}}) == "evil aabc");
  CHECK(found(routes, {.host = "", .path = "/x", .query = {}}) == "plain x");
  CHECK(found(routes, {.host = "", .path = "/aab", .query = {}}) == "literal");
}

TEST_CASE("a path that fits every prefix and no pattern costs a walk of the tree, not an exponential search") {
  // Each of the 2^12 ways to write twelve segments as 'a' or as a parameter, all of which end in a word that never
  // comes.
  std::vector<RouteSpec> routes;
  for (unsigned bits = 0; bits < 1u << 12; ++bits) {
    std::string pattern;
    for (unsigned i = 0; i < 12; ++i) pattern += (bits >> i & 1) != 0 ? "/{p" + std::to_string(i) + "}" : "/a";
    routes.push_back(Route(pattern + "/end"));
  }
  const RouteTable table = RouteTable::build(routes);
  std::string path;
  for (int i = 0; i < 12; ++i) path += "/a";
  CHECK(found(routes, table, {.host = "", .path = path + "/never", .query = {}}) == "404");
  CHECK(found(routes, table, {.host = "", .path = path + "/end", .query = {}}) == routes[0].name);
  // Few routes and a long path: were ways counted instead of nodes, this would not end.
  std::string deep;
  std::string deep_path;
  for (int i = 0; i < 100; ++i) {
    deep += "/a";
    deep_path += "/a";
  }
  std::vector<RouteSpec> few{Route(deep + "/x")};
  for (int i = 0; i < 100; ++i)
    few.push_back(Route(deep.substr(0, static_cast<size_t>(2 * i)) + "/{p}" +
                        deep.substr(static_cast<size_t>(2 * i + 2)) + "/x"));
  CHECK(found(few, {.host = "", .path = deep_path + "/y", .query = {}}) == "404");
  CHECK(found(few, {.host = "", .path = deep_path + "/x", .query = {}}) == deep + "/x");
}

TEST_CASE("a table without routes, and one that was never built, match nothing") {
  CHECK(found({}, {.host = "a.test", .path = "/", .query = {}}) == "404");
  RouteMatch match;
  RouteTable().find({.host = "a.test", .path = "/", .query = {}}, match);
  CHECK(match.outcome == RouteMatch::Outcome::no_route);
  CHECK(RouteTable().explain({.host = "a.test", .path = "/", .query = {}}, match).empty());
}

TEST_CASE("a match is overwritten when it is used again") {
  const std::vector<RouteSpec> routes{Route("/a/{x}"), Route("/b").methods({Method::GET})};
  const RouteTable table = RouteTable::build(routes);
  RouteMatch match;
  table.find({.host = "", .path = "/a/1", .query = {}}, match);
  CHECK(match.capture_count == 1);
  table.find({.host = "", .path = "/b", .query = {}, .method = Method::PUT}, match);
  CHECK(match.allowed != 0);
  table.find({.host = "", .path = "/c", .query = {}}, match);
  CHECK(match.outcome == RouteMatch::Outcome::no_route);
  CHECK(match.capture_count == 0);
  CHECK(match.allowed == 0);
}
