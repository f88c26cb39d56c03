#include "admin/endpoints.h"

#include <catch2/catch.hpp>

#include "admin/pages.h"
#include "fixture.h"

namespace sluice::admin {
namespace {

using http::Method;

// Asks for a page without any socket.
struct Asker {
  test::Gateway gateway;
  Gate gate;
  std::string_view host = "localhost:9901";
  std::vector<http::HeaderField> fields;

  void header(std::string_view name, std::string_view value) { fields.push_back({name, value, http::header_id(name)}); }
  Response ask(std::string_view path, Method method = Method::GET, std::string_view query = {}) {
    return answer({method, path, query, host, http::HeaderMap(fields)}, gate, gateway.sources());
  }
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool is_page(const Endpoint& endpoint) { return (endpoint.methods & http::method_bit(Method::GET)) != 0; }

TEST_CASE("every page answers GET with the content type of its row") {
  Asker asker;
  for (const Endpoint& endpoint : endpoints()) {
    if (!is_page(endpoint)) continue;
    INFO(endpoint.path);
    const Response response = asker.ask(endpoint.path);
    CHECK(response.status == 200);
    CHECK(response.content_type == endpoint.content_type);
  }
}

TEST_CASE("the index links every page, names every order, and says what they are for") {
  Asker asker;
  const std::string page = asker.ask("/").body;
  for (const Endpoint& endpoint : endpoints()) {
    CHECK(contains(page, "href=\"" + std::string(endpoint.path) + "\"") == is_page(endpoint));
    CHECK(contains(page, endpoint.path));
    CHECK(contains(page, html_escaped(endpoint.help)));
  }
  CHECK(contains(page, "1.2.3"));
}

TEST_CASE("figures are refreshed when they are asked for, and only then") {
  Asker asker;
  asker.ask("/healthz");
  CHECK(asker.gateway.refreshes == 0);
  asker.ask("/metrics");
  asker.ask("/stats");
  CHECK(asker.gateway.refreshes == 2);
}

TEST_CASE("readyz tells of stores, and is not ready without one that is required") {
  Asker asker;
  auto snapshot = std::make_shared<snapshot::Snapshot>();
  snapshot->stores.push_back({.name = "local"});
  snapshot->stores.push_back({.name = "shared", .type = snapshot::StoreSpec::Type::redis});
  asker.gateway.snapshot = snapshot;
  CHECK(asker.ask("/readyz").body == "ready\nstore local: available\nstore shared: available\n");
  asker.gateway.away = 1;
  CHECK(asker.ask("/readyz").status == 200);
  CHECK(asker.ask("/readyz").body == "degraded\nstore local: available\nstore shared: unavailable\n");
  snapshot->stores[1].required = true;
  CHECK(asker.ask("/readyz").status == 503);
  CHECK(asker.ask("/readyz").body == "not ready\nstore local: available\nstore shared: unavailable\n");
  asker.gateway.away = SIZE_MAX;
  CHECK(asker.ask("/readyz").status == 200);
}

TEST_CASE("readyz follows the flag while healthz stays") {
  Asker asker;
  asker.gateway.ready = false;
  CHECK(asker.ask("/readyz").status == 503);
  CHECK(asker.ask("/healthz").status == 200);
}

TEST_CASE("draining makes the gateway not ready, until it is taken back") {
  Asker asker;
  CHECK(asker.ask("/drain", Method::POST).body == "draining\n");
  CHECK(asker.ask("/readyz").status == 503);
  CHECK(asker.ask("/drain", Method::DELETE).body == "ready\n");
  CHECK(asker.ask("/readyz").status == 200);
}

TEST_CASE("a reload is begun once, answered later, and refused at the end of the gateway's life") {
  Asker asker;
  CHECK(asker.ask("/reload", Method::POST).after_reload);
  CHECK(asker.gateway.reloads == 1);
  asker.gateway.ready = false;
  CHECK(asker.ask("/reload", Method::POST).status == 503);
  CHECK(asker.ask("/reload").status == 405);
}

TEST_CASE("the last reload is told as JSON and as text") {
  Asker asker;
  asker.gateway.report = {.accepted = false,
                          .errors = {{"a.yaml", 3, 5, "unknown key \"x\"", "  x: 1"}},
                          .failure = "",
                          .changes = {},
                          .generation = 7,
                          .took = Micros(1500)};
  CHECK(asker.ask("/config/errors").body ==
        "{\"accepted\":false,\"generation\":7,\"took_us\":1500,\"failure\":\"\",\"errors\":[{\"file\":\"a.yaml\","
        "\"line\":3,\"column\":5,\"message\":\"unknown key \\\"x\\\"\"}],\"changes\":[],"
        "\"changes_left_out\":0}\n");
  asker.header("accept", "text/plain");
  const std::string text = asker.ask("/config/errors").body;
  CHECK(contains(text, "a.yaml:3:5: error: unknown key \"x\"\n"));
  CHECK(contains(text, "refused: configuration 7 goes on\n"));
}

TEST_CASE("config shows the redacted YAML") {
  Asker asker;
  CHECK(asker.ask("/config").body == "version: 1\nadmin: {token: \"***\"}\n");
}

TEST_CASE("an unknown page is 404 with the list of those there are") {
  Asker asker;
  const Response response = asker.ask("/metric");
  CHECK(response.status == 404);
  CHECK(response.content_type == "application/problem+json");
  CHECK(contains(response.body, "\"reason\":\"not_found\""));
  CHECK(contains(response.body, "\"/metrics\""));
}

TEST_CASE("another method is 405 with Allow") {
  Asker asker;
  const Response response = asker.ask("/metrics", Method::POST);
  CHECK(response.status == 405);
  REQUIRE(response.fields.size() == 1);
  CHECK(response.fields[0].first == "Allow");
  CHECK(response.fields[0].second == "GET, HEAD");
}

TEST_CASE("with a token set, only who brings it is answered") {
  Asker asker;
  asker.gate.token = "s3cret";
  struct {
    const char* authorization;
    uint16_t status;
  } const rows[] = {
      {nullptr, 401},         {"Bearer s3cret", 200},  {"bearer s3cret", 200}, {"Bearer s3cre", 401},
      {"Bearer s3creT", 401}, {"Bearer s3crett", 401}, {"Bearer ", 401},       {"Bearer", 401},
      {"Basic s3cret", 401},  {"s3cret", 401},
  };
  for (const auto& row : rows) {
    INFO((row.authorization != nullptr ? row.authorization : "none"));
    asker.fields.clear();
    if (row.authorization != nullptr) asker.header("Authorization", row.authorization);
    CHECK(asker.ask("/config").status == row.status);
    CHECK(asker.ask("/nothing").status == (row.status == 200 ? 404 : 401));
  }
}

TEST_CASE("401 names the scheme") {
  Asker asker;
  asker.gate.token = "s3cret";
  const Response response = asker.ask("/metrics");
  CHECK(response.content_type == "application/problem+json");
  REQUIRE(response.fields.size() == 1);
  CHECK(response.fields[0].first == "WWW-Authenticate");
  CHECK(contains(response.fields[0].second, "Bearer"));
}

TEST_CASE("probes need no token") {
  Asker asker;
  asker.gate.token = "s3cret";
  CHECK(asker.ask("/healthz").status == 200);
  CHECK(asker.ask("/readyz").status == 200);
}

TEST_CASE("without a token a foreign Host is refused, since it may be a web page's") {
  Asker asker;
  for (const char* host : {"localhost", "LOCALHOST:9901", "127.0.0.1:9901", "192.168.1.9", "[::1]:9901", ""}) {
    INFO(host);
    asker.host = host;
    CHECK(asker.ask("/config").status == 200);
  }
  for (const char* host : {"evil.example", "localhost.evil.example:9901", "127.0.0.1.evil.example", "1.2.3", "unix"}) {
    INFO(host);
    asker.host = host;
    CHECK(asker.ask("/config").status == 421);
  }
  asker.gate.local_host_only = false;
  CHECK(asker.ask("/config").status == 200);
  asker.gate = {"s3cret", true};
  asker.header("Authorization", "Bearer s3cret");
  CHECK(asker.ask("/config").status == 200);
}

TEST_CASE("without a token a web page may not post") {
  Asker asker;
  asker.header("Origin", "https://evil.example");
  CHECK(asker.ask("/metrics", Method::POST).status == 403);
  CHECK(asker.ask("/metrics", Method::GET).status == 200);
}

TEST_CASE("routes as JSON have what they match, do, and how often they did") {
  Asker asker;
  auto& registry = asker.gateway.registry;
  const auto run = registry.intern(stats::Family::requests, {"users"});
  registry.shard(0).add(pick(run, stats::StatusClass::c2xx), 7);
  registry.shard(0).add(pick(run, stats::StatusClass::c5xx), 1);
  const std::string body = asker.ask("/routes").body;
  CHECK(contains(body,
                 "{\"name\":\"users\",\"source\":\"sluice.yaml:7\",\"hosts\":[\"api.example.com\",\"*.example.org\"],"
                 "\"path\":\"/users/{id:int}\",\"methods\":[\"GET\",\"PUT\"],\"action\":\"proxy\","
                 "\"upstreams\":[{\"name\":\"users\",\"weight\":95},{\"name\":\"users-v2\",\"weight\":5}],"
                 "\"requests\":8,\"by_class\":{\"1xx\":0,\"2xx\":7,\"3xx\":0,\"4xx\":0,\"5xx\":1}},\n"));
  CHECK(contains(body, "{\"name\":\"files\""));
  CHECK_FALSE(registry.find(stats::Family::requests, {"files"}));  // asking makes no series
}

TEST_CASE("routes as text are a table") {
  Asker asker;
  CHECK(asker.ask("/routes", Method::GET, "format=text").body ==
        "NAME   HOSTS                           PATH             METHODS   ACTION                            "
        "  REQUESTS\n"
        "users  api.example.com, *.example.org  /users/{id:int}  GET, PUT  proxy users 95/100, users-v2 "
        "5/100         0\n"
        "ok     *                               /ok              *         respond 200                       "
        "         0\n"
        "files  *                               /{path...}       *         static /srv/<www>                 "
        "         0\n");
  CHECK(asker.ask("/routes", Method::GET, "format=xml").status == 400);
}

TEST_CASE("a browser gets the routes as an escaped HTML table") {
  Asker asker;
  asker.header("Accept", "text/html,application/xhtml+xml;q=0.9");
  const Response response = asker.ask("/routes");
  CHECK(response.content_type == "text/html; charset=utf-8");
  CHECK(contains(response.body, "<td>static /srv/&lt;www&gt;<td class=\"number\">0"));
  CHECK(response.fields.at(0).first == "Content-Security-Policy");
  CHECK(asker.ask("/routes", Method::GET, "format=json").content_type == "application/json");
}

TEST_CASE("upstreams have their endpoints and figures") {
  Asker asker;
  auto& registry = asker.gateway.registry;
  registry.shard(0).add(registry.intern(stats::Family::upstream_requests, {"users", "127.0.0.1:9001"}), 12);
  registry.control().step(registry.intern(stats::Family::upstream_active, {"users", "127.0.0.1:9001"}), -1);
  registry.shard(0).add(registry.intern(stats::Family::upstream_retries, {"users", "policy"}), 3);
  const std::string body = asker.ask("/upstreams").body;
  CHECK(contains(body,
                 "{\"name\":\"users\",\"balance\":\"p2c\",\"retries\":{\"stale\":0,\"refused\":0,\"policy\":3,\"denied_"
                 "by_budget\":0},"
                 "\"endpoints\":[\n  {\"name\":\"127.0.0.1:9001\",\"address\":\"127.0.0.1:9001\",\"weight\":2,"
                 "\"requests\":12,\"pending_requests\":0,\"connections_active\":-1,"));
  CHECK(contains(body, "\"response_seconds\":{\"count\":0,\"sum\":0,"));
}

TEST_CASE("upstreams show what DNS says of their names") {
  Asker asker;
  auto snapshot = std::make_shared<snapshot::Snapshot>();
  snapshot->clusters.push_back({.name = "users"});
  snapshot->clusters[0].endpoints = {{.name = "Users.internal:80", .weight = 3, .host = "users.internal", .port = 80},
                                     {.name = "late.internal:81", .host = "late.internal", .port = 81}};
  asker.gateway.snapshot = snapshot;
  auto& registry = asker.gateway.registry;
  registry.shard(0).add(registry.intern(stats::Family::upstream_requests, {"users", "127.0.0.2:80"}), 12);
  event::TimerWheel wheel(MonoTime{});
  MonoTime now(Seconds(100));
  std::vector<event::Resolver::Callback> asked;
  upstream::Discovery discovery({wheel, [&] { return now; },
                                 [&](const std::string&, auto callback) { asked.push_back(std::move(callback)); },
                                 registry, [](const std::string&) {}});
  asker.gateway.discovery = &discovery;
  const auto page = [&] { return upstreams_json(asker.gateway.sources(), now + Seconds(2)); };

  discovery.watch({}, snapshot->clusters, {}, {});
  REQUIRE(asked.size() == 2);  // in the order of the alphabet
  CHECK(contains(page(),
                 "{\"name\":\"Users.internal:80\",\"addresses\":[],\"last_lookup_seconds\":null,"
                 "\"next_lookup_seconds\":null,\"error\":null}"));
  asked[0](Error{Reason::upstream_unresolved, "no \"such\" name"});
  asked[1](
      event::Resolver::Answer{{*SocketAddress::parse_ip("127.0.0.2"), *SocketAddress::parse_ip("::1")}, Seconds(0)});
  const std::string body = page();
  CHECK(contains(body, "\"dns_servers\":\"127.0.0.1:53\""));
  CHECK(contains(body,
                 "{\"name\":\"Users.internal:80\",\"addresses\":[\"127.0.0.2:80\",\"[::1]:80\"],"
                 "\"last_lookup_seconds\":-2.0,\"next_lookup_seconds\":-"));
  CHECK(contains(body, "\"addresses\":[],\"last_lookup_seconds\":-2.0,"));
  CHECK(contains(body, "\"error\":\"no \\\"such\\\" name\"}"));
  CHECK(contains(body,
                 "\"endpoints\":[\n  {\"name\":\"127.0.0.2:80\",\"address\":\"127.0.0.2:80\","
                 "\"dns\":\"users.internal\",\"weight\":3,\"requests\":12,"));
  CHECK(contains(body,
                 "{\"name\":\"[::1]:80\",\"address\":\"[::1]:80\",\"dns\":\"users.internal\",\"weight\":3,"
                 "\"requests\":0,"));
}

}  // namespace
}  // namespace sluice::admin
