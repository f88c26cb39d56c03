#include "proxy/request.h"

#include <catch2/catch.hpp>

#include "proxy/ids.h"
#include "requests.h"

using namespace sluice;
using proxy::test::GivenRequest;

namespace {

const std::vector<Network> kTrusted = {*Network::parse("10.0.0.0/8"), *Network::parse("fd00::/8")};

/// Who the request is from, if a peer of ours hands it over with these lines.
std::string client_behind_proxy(const std::string& lines) {
  const GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\n" + lines, kTrusted, "10.0.0.1");
  REQUIRE(given.reason == Reason::none);
  return std::string(given.request.client);
}

std::string get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n"; }

}  // namespace

TEST_CASE("X-Forwarded-For of a peer that is not trusted is not believed") {
  const GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\n", kTrusted, "192.0.2.1");
  CHECK(given.request.client == "192.0.2.1");
}

TEST_CASE("the client is the last address in X-Forwarded-For that is not one of ours") {
  struct Row {
    std::string_view lines;
    std::string_view client;
  };
  const auto row = GENERATE(values<Row>({
      {"", "10.0.0.1"},
      {"X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
      {"X-Forwarded-For: 1.1.1.1, 198.51.100.7\r\n", "198.51.100.7"},  // what the client claims itself is hearsay
      {"X-Forwarded-For: 198.51.100.7, 10.1.2.3,10.9.9.9\r\n", "198.51.100.7"},
      {"X-Forwarded-For: 10.1.2.3, 10.9.9.9\r\n", "10.1.2.3"},  // all are ours: the first of them sent it
      {"X-Forwarded-For: 2001:db8::7, fd00::1\r\n", "2001:db8::7"},
      {"X-Forwarded-For: 2001:db8:1234:5678:9abc:def0:1234:5678, 10.0.0.2\r\n",
       "2001:db8:1234:5678:9abc:def0:1234:5678"},
      {"X-Forwarded-For: \t198.51.100.7 ,\t10.0.0.2\t\r\n", "198.51.100.7"},
      // several fields are one list
      {"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
      {"X-Forwarded-For: 1.1.1.1, 198.51.100.7\r\nA: b\r\nX-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "198.51.100.7"},
      {"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For:\r\n", "198.51.100.7"},
      // empty elements do not count
      {"X-Forwarded-For: ,198.51.100.7,, 10.0.0.2,\r\n", "198.51.100.7"},
      {"X-Forwarded-For: ,\r\n", "10.0.0.1"},
      // behind what is not an address nothing is believed
      {"X-Forwarded-For: unknown\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 198.51.100.7, unknown, 10.0.0.2\r\n", "10.0.0.2"},
      {"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: \"<b>\"\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 198.51.100.7:80\r\n", "10.0.0.1"},
      {"X-Forwarded-For: localhost\r\n", "10.0.0.1"},
      {"X-Forwarded-For: unix:/run/x\r\n", "10.0.0.1"},
  }));
  CAPTURE(row.lines);
  CHECK(client_behind_proxy(std::string(row.lines)) == row.client);
}

TEST_CASE("a request without an acceptable id gets one") {
  const std::string given_id =
      GENERATE("", "X-Request-Id:\r\n", "X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n");
  const GivenRequest given(get("/") + given_id);
  CHECK(given.request.id_made);
  CHECK(given.request.id.size() == proxy::kRequestIdBytes);
}

TEST_CASE("a client's own request id is kept") {
  const GivenRequest given(get("/") + "X-Request-Id: abc-123\r\n");
  CHECK_FALSE(given.request.id_made);
  CHECK(given.request.id == "abc-123");
}

TEST_CASE("targets: what routing sees, and what is refused") {
  struct Row {
    std::string head;
    Reason reason;
    std::string_view path;
  };
  const auto row = GENERATE(values<Row>({
      {get("/a/./b/../%7Ec?x=/../y"), Reason::none, "/a/~c"},
      {get("/"), Reason::none, "/"},
      {get("http://b.example/x"), Reason::none, "/x"},
      {get("http://b.example"), Reason::none, "/"},
      {get("/.."), Reason::bad_path, ""},
      {get("/a%2Fb"), Reason::bad_path, ""},
      {get("/a%5cb"), Reason::bad_path, ""},
      {get("/a%00"), Reason::bad_path, ""},
      {get("/%2e%2e/etc"), Reason::bad_path, ""},
      {get("*"), Reason::bad_target, ""},
      {get("a"), Reason::bad_target, ""},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n", Reason::none, "*"},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n", Reason::bad_method, ""},
      {"TRACE / HTTP/1.1\r\nHost: a\r\n", Reason::bad_method, ""},
      {"GET / HTTP/1.1\r\n", Reason::bad_host, ""},
      {"BREW / HTTP/1.1\r\nHost: a\r\n", Reason::bad_method, ""},
  }));
  CAPTURE(row.head);
  const GivenRequest given(row.head);
  CHECK(sluice::name(given.reason) == sluice::name(row.reason));
  if (row.reason == Reason::none) CHECK(given.request.path == row.path);
}

TEST_CASE("an absolute target's host is the request's host, without its port") {
  const GivenRequest given(get("http://B.example:8080/x"));
  CHECK(given.request.framing.host == "B.example:8080");
  CHECK(given.request.host == "B.example");
}

TEST_CASE("of a request that is refused as much is known as could be read") {
  const GivenRequest given("GET /../x HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc\r\nX-Forwarded-For: 198.51.100.7\r\n",
                           kTrusted, "10.0.0.1");
  REQUIRE(given.reason == Reason::bad_path);
  CHECK(given.request.id == "abc");
  CHECK(given.request.client == "198.51.100.7");
  CHECK(given.request.head.method_text == "GET");
  CHECK(given.request.host == "a");
}

TEST_CASE("a template's built-in names") {
  GivenRequest given("GET /a/b?c=d HTTP/1.1\r\nHost: a.example:80\r\nX-Request-Id: id1\r\n");
  const auto all = proxy::test::compiled("{method} {scheme} {host} {path} {query} {client_ip} {request_id} {route}");
  char out[256];
  const auto length = all.expand(given.request.values(), out);
  REQUIRE(length.has_value());
  CHECK(std::string_view(out, *length) == "GET http a.example:80 /a/b c=d 192.0.2.1 id1 users");
}
