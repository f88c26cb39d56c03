// Whole heads, byte for byte.
#include "proxy/head_composer.h"

#include <catch2/catch.hpp>

#include <string>

#include "http/parser.h"
#include "proxy/ids.h"
#include "requests.h"

using namespace sluice;
using http::BodyFraming;
using proxy::ClientFraming;
using proxy::test::compiled;
using proxy::test::GivenRequest;

namespace {

const std::vector<Network> kTrusted = {*Network::parse("10.0.0.0/8")};
constexpr std::string_view kTrace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";
const ClientFraming kLength2{{BodyFraming::Kind::length, 2}, true};

/// A request whose own ids are given, so that the head that goes upstream is known to the byte.
std::string with_ids(std::string_view lines) {
  return std::string(lines) + "X-Request-Id: id1\r\n" + std::string(kTrace);
}
/// What the gateway adds to such a request of 192.0.2.1 for host a.
const std::string kAdded =
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n" + with_ids("");

std::string upstream_head(GivenRequest& given) {
  REQUIRE(given.reason == Reason::none);
  const Result<std::string_view> head = proxy::compose_upstream_head(given.request, given.arena, given.random);
  return head ? std::string(*head) : "error " + std::string(name(head.error().reason));
}
/// The head that goes upstream for a GET of / with these lines.
std::string upstream_head_of(std::string_view lines) {
  GivenRequest given(with_ids("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(lines)));
  return upstream_head(given);
}

/// An upstream's response head and the memory it looks into.
struct GivenResponse {
  explicit GivenResponse(std::string_view text) : bytes(std::string(text) + "\r\n") {
    const auto parsed = http::parse_response(bytes, fields);
    REQUIRE(parsed.has_value());
    head = *parsed;
  }
  std::string bytes;
  std::array<http::HeaderField, 32> fields;
  http::ResponseHead head;
};

std::string client_head(GivenRequest& given, std::string_view response, const ClientFraming& framing) {
  const GivenResponse from(response);
  const auto head = proxy::compose_client_head(given.request, from.head, http::connection_options(from.head.headers),
                                               framing, kDate, given.arena);
  return head ? std::string(*head) : "error " + std::string(name(head.error().reason));
}
std::string client_head_of(std::string_view response, const ClientFraming& framing = kLength2,
                           const std::string& request = "GET / HTTP/1.1\r\nHost: a\r\n") {
  GivenRequest given(request);
  return client_head(given, response, framing);
}

std::string local_head(GivenRequest& given, uint16_t status, std::string_view lines,
                       const ClientFraming& framing = kLength2) {
  const auto head = proxy::compose_local_head(given.request, status, lines, framing, kDate, given.arena);
  return head ? std::string(*head) : "error " + std::string(name(head.error().reason));
}

}  // namespace

// --- the request's head ---

TEST_CASE("fields that go on are copied exactly as they stood on the wire") {
  const std::string lines =
      "accept:*/*\r\nCookie:  a=b; c=\"d\" \t\r\nX-Empty:\r\nX-Twice: 1\r\nx-twice: 2\r\nX-High: \xc3\xa4\r\n";
  CHECK(upstream_head_of(lines) == "GET / HTTP/1.1\r\nHost: a\r\n" + lines + kAdded + "\r\n");
}

TEST_CASE("hop-by-hop fields fall out, wherever they stand") {
  CHECK(upstream_head_of(
            "Keep-Alive: 5\r\nA: 1\r\nProxy-Connection: keep-alive\r\nB: 2\r\nC: 3\r\nTE: gzip\r\n"
            "Proxy-Authorization: x\r\nHTTP2-Settings: y\r\nConnection: keep-alive\r\nD: 4\r\nUpgrade: h2\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n" + kAdded + "\r\n");
}

TEST_CASE("fields that Connection names fall out, in any case and from any Connection field") {
  CHECK(upstream_head_of("Connection: close, X-A\r\nx-a: 1\r\nX-B: 2\r\nX-C: 3\r\nConnection: x-c\r\nX-A: 4\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nX-B: 2\r\n" + kAdded + "\r\n");
}

TEST_CASE("a request that came as early data says so, once") {
  const auto early = [](std::string_view lines) {
    GivenRequest given(with_ids("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(lines)));
    given.request.early = true;
    return upstream_head(given);
  };
  CHECK(early("") == "GET / HTTP/1.1\r\nHost: a\r\n" + kAdded + "Early-Data: 1\r\n\r\n");
  CHECK(early("early-data: 1\r\n") == "GET / HTTP/1.1\r\nHost: a\r\nearly-data: 1\r\n" + kAdded + "\r\n");
  CHECK(upstream_head_of("Early-Data: 1\r\nConnection: early-data\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nEarly-Data: 1\r\n" + kAdded + "\r\n");
}

TEST_CASE("the body's framing is made anew") {
  GivenRequest length(with_ids("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:   007\r\n"));
  CHECK(upstream_head(length) == "POST / HTTP/1.1\r\nHost: a\r\n" + kAdded + "Content-Length: 7\r\n\r\n");
  GivenRequest chunked(with_ids("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\nTrailer: X-Sum\r\n"));
  CHECK(upstream_head(chunked) ==
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\n" + kAdded + "Transfer-Encoding: chunked\r\n\r\n");
  GivenRequest empty(with_ids("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"));
  CHECK(upstream_head(empty) == "POST / HTTP/1.1\r\nHost: a\r\n" + kAdded + "Content-Length: 0\r\n\r\n");
}

TEST_CASE("TE: trailers and Expect go on, an upgrade is asked for in the gateway's own words") {
  CHECK(upstream_head_of("TE: trailers, deflate\r\nConnection: te\r\nExpect: 100-continue\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + kAdded + "Connection: te\r\nTE: trailers\r\n\r\n");
  CHECK(upstream_head_of("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\n" + kAdded +
            "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

TEST_CASE("the normalised path goes up, the query byte for byte, an absolute target's host as Host") {
  GivenRequest given(with_ids("GET http://a/x/../%7Ey?q=%7E&/../ HTTP/1.1\r\nHost: other\r\n"));
  CHECK(upstream_head(given) == "GET /~y?q=%7E&/../ HTTP/1.1\r\nHost: a\r\n" + kAdded + "\r\n");
  GivenRequest bare(with_ids("GET /x? HTTP/1.1\r\nHost: a\r\n"));
  CHECK(upstream_head(bare) == "GET /x? HTTP/1.1\r\nHost: a\r\n" + kAdded + "\r\n");
  GivenRequest old(with_ids("GET /x HTTP/1.0\r\nHost: a\r\n"));
  CHECK(upstream_head(old) == "GET /x HTTP/1.1\r\nHost: a\r\n" + kAdded + "\r\n");
}

TEST_CASE("X-Forwarded-* of a peer that is not trusted are replaced") {
  CHECK(upstream_head_of("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n") ==
        "GET / HTTP/1.1\r\nHost: a\r\n" + kAdded + "\r\n");
}

TEST_CASE("X-Forwarded-* of a trusted peer are believed, and its address is added") {
  GivenRequest given(with_ids("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
                              "X-Forwarded-For: 7.7.7.7, 8.8.8.8\r\nX-Forwarded-Host: www\r\n"),
                     kTrusted, "10.0.0.1");
  CHECK(upstream_head(given) ==
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 7.7.7.7, 8.8.8.8, 10.0.0.1\r\nX-Forwarded-Proto: "
        "https\r\n"
        "X-Forwarded-Host: www\r\n" +
            with_ids("") + "\r\n");
}

TEST_CASE("Forwarded goes on from a trusted peer only") {
  const std::string lines =
      "GET / HTTP/1.1\r\nHost: a\r\nforwarded: for=6.6.6.6;proto=https\r\nA: b\r\nForwarded: for=_x\r\n";
  GivenRequest stranger(with_ids(lines), kTrusted, "192.0.2.1");
  CHECK(upstream_head(stranger) == "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n" + kAdded + "\r\n");
  GivenRequest trusted(with_ids(lines), kTrusted, "10.0.0.1");
  CHECK(upstream_head(trusted) ==
        lines + "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n" + with_ids("") +
            "\r\n");
}

TEST_CASE("a request without ids gets both, of one trace") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-garbage\r\n");
  const std::string head = upstream_head(given);
  const size_t id_at = head.find("X-Request-Id: ");
  const size_t trace_at = head.find("traceparent: ");
  REQUIRE(id_at != std::string::npos);
  REQUIRE(trace_at != std::string::npos);
  const std::string trace = head.substr(trace_at + 13, proxy::kTraceparentBytes);
  CHECK(proxy::is_valid_traceparent(trace));
  CHECK(trace.substr(3, 32) == head.substr(id_at + 14, 32));
  CHECK(head.find("garbage") == std::string::npos);
}

TEST_CASE("the route's edits: set replaces, add adds, remove removes, all with templates") {
  GivenRequest given(
      with_ids("GET /x HTTP/1.1\r\nHost: a\r\nX-Set: old\r\nX-Keep: 1\r\nx-set: older\r\nX-Gone: 2\r\nX-Add: 3\r\n"));
  given.route.request_headers.make().set.emplace_back("X-Set", compiled("{client_ip} {path}"));
  given.route.request_headers.make().add.emplace_back("X-Add", compiled("{route}"));
  given.route.request_headers.make().remove.emplace_back("x-gone");
  CHECK(upstream_head(given) == "GET /x HTTP/1.1\r\nHost: a\r\nX-Keep: 1\r\nX-Add: 3\r\n" + kAdded +
                                    "X-Set: 192.0.2.1 /x\r\nX-Add: users\r\n\r\n");
}

TEST_CASE("what the gateway says itself can be replaced and removed like any other field") {
  GivenRequest replaced(with_ids("GET / HTTP/1.1\r\nHost: a\r\n"));
  auto& set = replaced.route.request_headers.make().set;
  set.emplace_back("x-forwarded-proto", compiled("https"));
  set.emplace_back("X-Forwarded-For", compiled("{client_ip}"));
  set.emplace_back("X-Request-ID", compiled("edge-{request_id}"));
  CHECK(upstream_head(replaced) ==
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: a\r\n" + std::string(kTrace) +
            "x-forwarded-proto: https\r\nX-Forwarded-For: 192.0.2.1\r\nX-Request-ID: edge-id1\r\n\r\n");

  GivenRequest removed(with_ids("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\n"));
  removed.route.request_headers.make().remove = {"X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host",
                                                 "X-Request-Id", "Traceparent"};
  CHECK(upstream_head(removed) == "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST_CASE("rewrites of path and host") {
  GivenRequest given(with_ids("GET /users/7?x=1 HTTP/1.1\r\nHost: a\r\n"));
  given.request.match.captures[0] = "7";
  given.request.match.capture_count = 1;
  given.route.rewrite.make().path = compiled("/v2/{id}", {"id"});
  given.route.rewrite.make().host.make() = compiled("{route}.internal:81");
  CHECK(upstream_head(given) == "GET /v2/7?x=1 HTTP/1.1\r\nHost: users.internal:81\r\n" + kAdded + "\r\n");
}

TEST_CASE("strip_prefix leaves a path that begins with a slash") {
  struct Row {
    std::string_view prefix, path, left;
  };
  const auto row = GENERATE(values<Row>(
      {{"/api", "/api/x", "/x"}, {"/api", "/api", "/"}, {"/api", "/apiary", "/apiary"}, {"/b", "/api", "/api"}}));
  GivenRequest given(with_ids("GET " + std::string(row.path) + " HTTP/1.1\r\nHost: a\r\n"));
  given.route.rewrite.make().strip_prefix = row.prefix;
  CHECK(upstream_head(given) == "GET " + std::string(row.left) + " HTTP/1.1\r\nHost: a\r\n" + kAdded + "\r\n");
}

TEST_CASE("a template that makes something invalid is bad_template, and never goes out") {
  const std::string_view evil = GENERATE("a b", "a\r\nX-Evil: 1", "a?b", "");
  GivenRequest given(with_ids("GET /x HTTP/1.1\r\nHost: a\r\n"));
  given.request.match.captures[0] = evil;
  given.request.match.capture_count = 1;
  SECTION("a path") {
    given.route.rewrite.make().path = compiled("{id}", {"id"});
    CHECK(upstream_head(given) == "error bad_template");
  }
  SECTION("a path behind a slash") {
    if (evil.empty()) return;
    given.route.rewrite.make().path = compiled("/{id}", {"id"});
    CHECK(upstream_head(given) == "error bad_template");
  }
  SECTION("a host") {
    given.route.rewrite.make().host.make() = compiled("{id}", {"id"});
    CHECK(upstream_head(given) == "error bad_template");
  }
  SECTION("a field") {
    given.route.request_headers.make().set.emplace_back("X-A", compiled("{id}", {"id"}));
    const bool fits_a_field = evil.find('\r') == std::string_view::npos;
    CHECK((upstream_head(given) != "error bad_template") == fits_a_field);
  }
  SECTION("a field of the response") {
    given.route.response_headers.make().add.emplace_back("X-A", compiled("{id}", {"id"}));
    const bool fits_a_field = evil.find('\r') == std::string_view::npos;
    CHECK((client_head(given, "HTTP/1.1 200 OK\r\n", kLength2) != "error bad_template") == fits_a_field);
  }
}

TEST_CASE("edits may make a head much larger than the one that came") {
  GivenRequest given(with_ids("GET / HTTP/1.1\r\nHost: a\r\n"));
  const std::string value(2'000, 'x');
  std::string expected = "GET / HTTP/1.1\r\nHost: a\r\n" + kAdded;
  for (int i = 0; i < 10; ++i) {
    given.route.request_headers.make().add.emplace_back("X-Long", compiled(value));
    expected += "X-Long: " + value + "\r\n";
  }
  CHECK(upstream_head(given) == expected + "\r\n");
}

// --- the response's head ---

TEST_CASE("a response's fields go on as they stood, the hop-by-hop ones and the framing are made anew") {
  CHECK(client_head_of("HTTP/1.1 200 Very well\r\nDate: then\r\nserver:x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
                       "Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                       "Proxy-Authenticate: x\r\n") ==
        "HTTP/1.1 200 Very well\r\nDate: then\r\nserver:x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: "
        "2\r\n\r\n");
}

TEST_CASE("a response without Date gets one") {
  CHECK(client_head_of("HTTP/1.1 200 OK\r\nA: b\r\n") ==
        "HTTP/1.1 200 OK\r\nA: b\r\nDate: " + std::string(kDate) + "\r\nContent-Length: 2\r\n\r\n");
}

TEST_CASE("the framing says how the body ends and whether the connection goes on") {
  const std::string common = "HTTP/1.1 200 OK\r\nDate: then\r\n";
  const std::string old = "GET / HTTP/1.0\r\n";
  CHECK(client_head_of(common, {{BodyFraming::Kind::chunked, 0}, true}) ==
        common + "Transfer-Encoding: chunked\r\n\r\n");
  CHECK(client_head_of(common, {{BodyFraming::Kind::none, 0}, true}) == common + "\r\n");
  CHECK(client_head_of(common, {{BodyFraming::Kind::until_close, 0}, false}, old) ==
        common + "Connection: close\r\n\r\n");
  CHECK(client_head_of(common, {{BodyFraming::Kind::length, 2}, false}) ==
        common + "Content-Length: 2\r\nConnection: close\r\n\r\n");
  CHECK(client_head_of(common, {{BodyFraming::Kind::length, 2}, true}, old) ==
        common + "Content-Length: 2\r\nConnection: keep-alive\r\n\r\n");
}

TEST_CASE("an HTTP/1.0 response goes to the client as HTTP/1.1") {
  CHECK(client_head_of("HTTP/1.0 404 Not Found\r\nDate: then\r\n") ==
        "HTTP/1.1 404 Not Found\r\nDate: then\r\nContent-Length: 2\r\n\r\n");
}

TEST_CASE("a 101 names its protocol and has no framing") {
  CHECK(client_head_of("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
                       "websocket\r\nSec-WebSocket-Accept: x\r\n") ==
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade\r\nUpgrade: "
        "websocket\r\n\r\n");
}

TEST_CASE("the route's edits of the response, the gateway's own Date among them") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: id1\r\n");
  auto& edits = given.route.response_headers.make();
  edits.set.emplace_back("Server", compiled("sluice"));
  edits.add.emplace_back("X-Id", compiled("{request_id}"));
  edits.remove = {"x-powered-by", "Date"};
  const std::string expected = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\nServer: sluice\r\nX-Id: id1\r\n\r\n";
  CHECK(client_head(given, "HTTP/1.1 200 OK\r\nServer: x\r\nX-Powered-By: y\r\nA: b\r\n", kLength2) == expected);
  CHECK(client_head(given, "HTTP/1.1 200 OK\r\nServer: x\r\nDate: then\r\nA: b\r\n", kLength2) == expected);
}

TEST_CASE("an informational response goes on without what belongs to the connection") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\n");
  const GivenResponse hints(
      "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n");
  const auto head = proxy::compose_informational(hints.head, given.arena);
  REQUIRE(head.has_value());
  CHECK(*head == "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
}

TEST_CASE("trailers: what may stand there goes on, framing and routing fields do not") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\n");
  std::array<http::HeaderField, 8> fields;
  const auto trailers = http::parse_fields(
      "X-Sum: 5\r\nContent-Length: 9\r\nHost: evil\r\nTransfer-Encoding: chunked\r\nConnection: "
      "close\r\nX-Empty:\r\n\r\n",
      fields);
  REQUIRE(trailers.has_value());
  CHECK(proxy::compose_trailers(*trailers, given.arena) == "X-Sum: 5\r\nX-Empty: \r\n\r\n");
  CHECK(proxy::compose_trailers({}, given.arena) == "\r\n");
}

// --- answers of the gateway itself ---

TEST_CASE("a local answer's head") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\n");
  CHECK(local_head(given, 404, "Content-Type: text/plain\r\n") ==
        "HTTP/1.1 404 Not Found\r\nDate: " + std::string(kDate) +
            "\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n");
}

TEST_CASE("the route's edits apply to local answers too") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\n");
  given.route.response_headers.make().set.emplace_back("content-type", compiled("text/html"));
  given.route.response_headers.make().set.emplace_back("Date", compiled("now"));
  given.route.response_headers.make().remove = {"Location"};
  CHECK(
      local_head(given, 308, "Location: /x\r\nX-A: 1\r\nContent-Type: text/plain\r\n") ==
      "HTTP/1.1 308 Permanent Redirect\r\nX-A: 1\r\nContent-Length: 2\r\ncontent-type: text/html\r\nDate: now\r\n\r\n");
  CHECK(local_head(given, 204, "") ==
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\ncontent-type: text/html\r\nDate: now\r\n\r\n");
}

TEST_CASE("an answer to what no route matched has no edits") {
  GivenRequest given("GET / HTTP/1.1\r\nHost: a\r\n");
  given.request.route = nullptr;
  CHECK(local_head(given, 400, "", {{BodyFraming::Kind::length, 0}, false}) ==
        "HTTP/1.1 400 Bad Request\r\nDate: " + std::string(kDate) +
            "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
