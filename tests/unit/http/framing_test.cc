#include "http/framing.h"

#include <catch2/catch.hpp>
#include <string>

#include "heads.h"

using namespace sluice;
using namespace sluice::http;
using namespace sluice::http::test;
using Kind = BodyFraming::Kind;

namespace {

/// Why the request that begins with `head` (up to its empty line) is refused; Reason::none if it is not.
Reason refusal(const std::string& head) {
  const Request request(head + "\r\n");
  if (!request.ok()) return request.reason();
  const auto framing = request_framing(request.head());
  return framing ? Reason::none : framing.error().reason;
}

Reason refusal_with(const std::string& lines) { return refusal("POST / HTTP/1.1\r\nHost: a\r\n" + lines); }

}  // namespace

TEST_CASE("a request's body is what Content-Length or chunked say, and else there is none") {
  struct Row {
    std::string lines;
    Kind kind;
    uint64_t length;
  };
  const Row rows[] = {
      {"", Kind::none, 0},
      {"Content-Length: 0\r\n", Kind::length, 0},
      {"Content-Length: 5\r\n", Kind::length, 5},
      {"content-length:\t 5 \t\r\n", Kind::length, 5},  // white space around a value is none of it
      {"Content-Length: 0000000000000000005\r\n", Kind::length, 5},
      {"Content-Length: 9223372036854775807\r\n", Kind::length, 9223372036854775807u},
      {"Transfer-Encoding: chunked\r\n", Kind::chunked, 0},
      {"transfer-encoding: CHUNKED\r\n", Kind::chunked, 0},  // coding names are case-insensitive, RFC 9112 §7
  };
  for (const Row& row : rows) {
    CAPTURE(row.lines);
    for (const char* method : {"GET", "POST", "DELETE", "OPTIONS"}) {  // a method says nothing of the body, RFC 9112 §6
      const Request request(std::string(method) + " / HTTP/1.1\r\nHost: a\r\n" + row.lines + "\r\n");
      REQUIRE(request.ok());
      const auto framing = request_framing(request.head());
      REQUIRE(framing);
      CHECK(framing->body.kind == row.kind);
      CHECK(framing->body.length == row.length);
    }
  }
}

TEST_CASE("every request whose length two readers might understand differently is refused") {
  using enum Reason;
  const std::pair<std::string, Reason> rows[] = {
      {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", bad_length},
      {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", bad_length},
      {"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", bad_length},
      {"Content-Length: 5\r\nContent-Length: 6\r\n", bad_length},
      {"Content-Length: 5\r\nContent-Length: 5\r\n", bad_length},  // equal ones too
      {"Content-Length: 5, 5\r\n", bad_length},
      {"Content-Length: 5,5\r\n", bad_length},
      {"Content-Length: 5 5\r\n", bad_length},
      {"Content-Length:\r\n", bad_length},
      {"Content-Length: +5\r\n", bad_length},
      {"Content-Length: -5\r\n", bad_length},
      {"Content-Length: 0x5\r\n", bad_length},
      {"Content-Length: 5.0\r\n", bad_length},
      {"Content-Length: 5e1\r\n", bad_length},
      {"Content-Length: 5;\r\n", bad_length},
      {"Content-Length: \"5\"\r\n", bad_length},
      {"Content-Length: five\r\n", bad_length},
      {"Content-Length: \xef\xbc\x95\r\n", bad_length},          // a full-width five
      {"Content-Length: 10000000000000000000\r\n", bad_length},  // 20 digits
      {"Content-Length: 18446744073709551621\r\n", bad_length},  // 5 after 64 bits overflow
      {"Content-Length: 00000000000000000005\r\n", bad_length},
      {"Transfer-Encoding:\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: gzip\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: identity\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: xchunked\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: chunked, chunked\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: gzip, chunked\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: chunked, identity\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: chunked,\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: ,chunked\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: \"chunked\"\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: chunked;a=b\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", bad_transfer_encoding},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", bad_transfer_encoding},
      {"Transfer-Encoding : chunked\r\n", bad_header},
      {"Transfer-Encoding: chun\x0bked\r\n", bad_line_end},
      {"Transfer-Encoding:\r\n chunked\r\n", bad_header},  // obs-fold
      {"X: y\r\n Transfer-Encoding: chunked\r\n", bad_header},
  };
  for (const auto& [lines, reason] : rows) {
    CAPTURE(lines);
    CHECK(refusal_with(lines) == reason);
  }
}

TEST_CASE("a name that merely looks like a framing field is another field") {
  for (const char* line : {"Content_Length: x\r\n", "Transfer_Encoding: chunked\r\n", "X-Content-Length: x\r\n",
                           "Content-Lengths: x\r\n", "Transfer-Encodin: x\r\n"}) {
    CAPTURE(line);
    const Request request(get_with(line));
    REQUIRE(request.ok());
    CHECK(request_framing(request.head())->body.kind == Kind::none);
  }
}

TEST_CASE("Transfer-Encoding does not exist in HTTP/1.0") {
  CHECK(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n") == Reason::bad_transfer_encoding);
  CHECK(refusal("POST / HTTP/1.0\r\nContent-Length: 5\r\n") == Reason::none);
}

TEST_CASE("a request has exactly one valid Host in HTTP/1.1, and at most one in HTTP/1.0") {
  using enum Reason;
  const std::pair<std::string, Reason> rows[] = {
      {"GET / HTTP/1.1\r\nHost: example.com\r\n", none},
      {"GET / HTTP/1.1\r\nHOST: example.com:8080\r\n", none},
      {"GET / HTTP/1.1\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost:\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a, b\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a b\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: user@a\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: http://a\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a:port\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost: a..b\r\n", bad_host},
      {"GET / HTTP/1.1\r\nHost : a\r\n", bad_header},
      {"GET / HTTP/1.0\r\n", none},
      {"GET / HTTP/1.0\r\nHost: a\r\n", none},
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", bad_host},
      {"GET / HTTP/1.0\r\nHost: a b\r\n", bad_host},
      {"GET http://a/ HTTP/1.1\r\n", bad_host},  // RFC 9112 §3.2: needed even with an absolute-form target
      {"GET http://a/ HTTP/1.1\r\nHost: b\r\n", none},
      {"GET http://a b@c/ HTTP/1.1\r\nHost: b\r\n", bad_request_line},
      {"GET http://b@c/ HTTP/1.1\r\nHost: b\r\n", bad_target},
      {"GET ftp://c/ HTTP/1.1\r\nHost: b\r\n", bad_target},
      {"GET a HTTP/1.1\r\nHost: b\r\n", bad_target},
      {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n", bad_target},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n", none},
  };
  for (const auto& [head, reason] : rows) {
    CAPTURE(head);
    CHECK(refusal(head) == reason);
  }
}

TEST_CASE("the authority of an absolute target overrides Host") {
  const Request request("GET http://a.example:81/x HTTP/1.1\r\nHost: b.example\r\n\r\n");
  CHECK(request_framing(request.head())->host == "a.example:81");
  const Request plain("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
  CHECK(request_framing(plain.head())->host == "b.example");
  const Request none("GET / HTTP/1.0\r\n\r\n");
  CHECK(request_framing(none.head())->host.empty());
}

TEST_CASE("a connection goes on by its version's rules") {
  struct Row {
    std::string version;
    std::string connection;
    bool keep_alive;
  };
  const Row rows[] = {
      {"1.1", "", true},
      {"1.1", "Connection: keep-alive\r\n", true},
      {"1.1", "Connection: close\r\n", false},
      {"1.1", "Connection: Close\r\n", false},
      {"1.1", "Connection: x, close , y\r\n", false},
      {"1.1", "Connection: x\r\nConnection: close\r\n", false},
      {"1.1", "Connection: keep-alive, close\r\n", false},  // close wins
      {"1.1", "Connection: closed\r\n", true},
      {"1.1", "Proxy-Connection: close\r\n", true},  // no standard's field
      {"1.0", "", false},
      {"1.0", "Connection: keep-alive\r\n", true},
      {"1.0", "Connection: Keep-Alive, close\r\n", false},
      {"1.0", "Keep-Alive: timeout=5\r\n", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.version, row.connection);
    const Request request("GET / HTTP/" + row.version + "\r\nHost: a\r\n" + row.connection + "\r\n");
    CHECK(request_framing(request.head())->keep_alive == row.keep_alive);
    const Response response("HTTP/" + row.version + " 200 OK\r\nContent-Length: 0\r\n" + row.connection + "\r\n");
    CHECK(response_framing(response.head(), Method::GET)->keep_alive == row.keep_alive);
  }
}

TEST_CASE("only Expect: 100-continue is understood, and only from HTTP/1.1") {
  const auto expects = [](const std::string& version, const std::string& lines) {
    const Request request("POST / HTTP/" + version + "\r\nHost: a\r\nContent-Length: 5\r\n" + lines + "\r\n");
    const auto framing = request_framing(request.head());
    return framing ? (framing->expects_continue ? "yes" : "no") : std::string(name(framing.error().reason));
  };
  CHECK(expects("1.1", "") == "no");
  CHECK(expects("1.1", "Expect: 100-continue\r\n") == "yes");
  CHECK(expects("1.1", "expect: 100-Continue\r\n") == "yes");
  CHECK(expects("1.1", "Expect: 200-ok\r\n") == "expectation_failed");
  CHECK(expects("1.1", "Expect:\r\n") == "expectation_failed");
  CHECK(expects("1.1", "Expect: 100-continue, x\r\n") == "expectation_failed");
  CHECK(expects("1.1", "Expect: 100-continue\r\nExpect: 100-continue\r\n") == "expectation_failed");
  CHECK(expects("1.0", "Expect: 100-continue\r\n") == "no");
  CHECK(expects("1.0", "Expect: nonsense\r\n") == "no");
}

TEST_CASE("an upgrade needs Connection: upgrade and a protocol that is not HTTP, and has no body") {
  const auto upgrades = [](const std::string& lines, const std::string& version = "1.1") {
    const Request request("GET / HTTP/" + version + "\r\nHost: a\r\n" + lines + "\r\n");
    const auto framing = request_framing(request.head());
    return framing ? (framing->upgrade ? "yes" : "no") : std::string(name(framing.error().reason));
  };
  const std::string websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  CHECK(upgrades(websocket) == "yes");
  CHECK(upgrades("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n") == "yes");
  CHECK(upgrades(websocket + "Content-Length: 0\r\n") == "yes");
  CHECK(upgrades("Upgrade: websocket\r\n") == "no");
  CHECK(upgrades("Connection: upgrade\r\n") == "no");
  CHECK(upgrades(websocket, "1.0") == "no");  // RFC 9110 §7.8
  CHECK(upgrades("Connection: upgrade\r\nUpgrade:\r\n") == "bad_upgrade");
  CHECK(upgrades("Connection: upgrade\r\nUpgrade: ,\r\n") == "bad_upgrade");
  CHECK(upgrades(websocket + "Content-Length: 5\r\n") == "bad_upgrade");
  CHECK(upgrades(websocket + "Transfer-Encoding: chunked\r\n") == "bad_upgrade");
  // A tunnel of HTTP/2 to the upstream would go past every route and plugin.
  CHECK(upgrades("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n") == "no");
  CHECK(upgrades("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n") == "no");
  CHECK(upgrades("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n") == "no");
  CHECK(upgrades("Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n") == "no");
  CHECK(upgrades("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n") == "no");
}

TEST_CASE("a response's body follows RFC 9112 §6.3") {
  struct Row {
    std::string head;
    Method method;
    Kind kind;
    uint64_t length;
    bool keep_alive;
  };
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Method::GET, Kind::length, 5, true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", Method::GET, Kind::chunked, 0, true},
      {"HTTP/1.1 200 OK\r\n", Method::GET, Kind::until_close, 0, false},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", Method::GET, Kind::until_close, 0, false},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n", Method::GET, Kind::length, 1, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Method::HEAD, Kind::none, 0, true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", Method::HEAD, Kind::none, 0, true},
      {"HTTP/1.1 200 OK\r\n", Method::HEAD, Kind::none, 0, true},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", Method::GET, Kind::none, 0, true},
      {"HTTP/1.1 204 No Content\r\n", Method::DELETE, Kind::none, 0, true},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", Method::DELETE, Kind::none, 0, true},
      // These may be followed by the body that they announce, which would poison the next answer.
      {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", Method::DELETE, Kind::none, 0, false},
      {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", Method::DELETE, Kind::none, 0, false},
      {"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n", Method::GET, Kind::none, 0, false},
      {"HTTP/1.1 100 Continue\r\n", Method::POST, Kind::none, 0, true},
      {"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", Method::GET, Kind::none, 0, true},
      {"HTTP/1.1 500 x\r\nContent-Length: 2\r\nConnection: close\r\n", Method::GET, Kind::length, 2, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.head, name(row.method));
    const Response response(row.head + "\r\n");
    REQUIRE(response.ok());
    const auto framing = response_framing(response.head(), row.method);
    REQUIRE(framing);
    CHECK(framing->body.kind == row.kind);
    CHECK(framing->body.length == row.length);
    CHECK(framing->keep_alive == row.keep_alive);
  }
}

TEST_CASE("a response that another reader might end elsewhere is refused") {
  for (const std::string lines :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n", "Content-Length: +5\r\n", "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n", "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    CAPTURE(lines);
    for (const char* status : {"200", "204", "304", "101"}) {  // also where the body would not be read
      const Response response("HTTP/1.1 " + std::string(status) + " x\r\n" + lines + "\r\n");
      REQUIRE(response.ok());
      CHECK(response_framing(response.head(), Method::GET).error().reason == Reason::upstream_bad_response);
      CHECK(response_framing(response.head(), Method::HEAD).error().reason == Reason::upstream_bad_response);
    }
  }
  const Response old("HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(response_framing(old.head(), Method::GET).error().reason == Reason::upstream_bad_response);
}

TEST_CASE("a 101 that does not say what it switches to is refused") {
  for (const std::string lines : {"", "Upgrade: websocket\r\n", "Connection: upgrade\r\n"}) {
    const Response response("HTTP/1.1 101 x\r\n" + lines + "\r\n");
    CHECK(response_framing(response.head(), Method::GET).error().reason == Reason::upstream_bad_response);
  }
  const Response good("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  CHECK(response_framing(good.head(), Method::GET)->connection.upgrade);
}

TEST_CASE("hop-by-hop fields are the fixed ones and those that Connection names") {
  const Request request(get_with(
      "Connection: close, X-Gone ,x-also\r\nConnection: Cookie, host, content-length, early-data\r\nKeep-Alive: x\r\n"
      "Proxy-Connection: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nHTTP2-Settings: "
      "x\r\n"
      "Proxy-Authorization: x\r\nProxy-Authenticate: x\r\nx-gone: 1\r\nX-Also: 2\r\nX-Stays: 3\r\ncookie: "
      "4\r\n"
      "Content-Length: 5\r\nAuthorization: 6\r\nEarly-Data: 1\r\n"));
  REQUIRE(request.ok());
  const HeaderMap& headers = request.head().headers;
  const ConnectionOptions options = connection_options(headers);
  CHECK(options.close);
  CHECK(options.names_fields);
  CHECK_FALSE(options.keep_alive);
  std::string kept;
  for (const HeaderField& field : headers) {
    if (!is_hop_by_hop(field, headers, options)) kept += std::string(field.name) + " ";
  }
  // Host, Content-Length and Early-Data stay whatever Connection says: without them the message would mean something
  // else.
  CHECK(kept == "Host X-Stays Content-Length Authorization Early-Data ");
}

TEST_CASE("Connection with the usual options names no fields") {
  const Request request(get_with("Connection: keep-alive, Upgrade,, close\r\n"));
  const ConnectionOptions options = connection_options(request.head().headers);
  CHECK(options.keep_alive);
  CHECK(options.upgrade);
  CHECK(options.close);
  CHECK_FALSE(options.names_fields);
}

TEST_CASE("a Connection that lists more than anyone means is refused") {
  const auto list = [](int count) {
    std::string line = "Connection: x";
    for (int i = 1; i < count; ++i) line += i % 2 == 0 ? ", y" : ",";
    return line + "\r\n";
  };
  CHECK(refusal_with(list(64)) == Reason::none);
  CHECK(refusal_with(list(65)) == Reason::bad_header);
  CHECK(refusal_with(list(40) + list(40)) == Reason::bad_header);
  const Response response("HTTP/1.1 200 OK\r\n" + list(65) + "\r\n");
  CHECK(response_framing(response.head(), Method::GET).error().reason == Reason::upstream_bad_response);
}

TEST_CASE("TE lists trailers or it does not") {
  const auto accepts = [](const std::string& lines) {
    const Request request(get_with(lines));
    return accepts_trailers(request.head().headers);
  };
  CHECK(accepts("TE: trailers\r\n"));
  CHECK(accepts("TE: gzip;q=0.5, Trailers\r\n"));
  CHECK(accepts("TE: gzip\r\nTE: trailers\r\n"));
  CHECK_FALSE(accepts(""));
  CHECK_FALSE(accepts("TE: trailersx\r\n"));
  CHECK_FALSE(accepts("TE: deflate\r\n"));
}

TEST_CASE("framing, routing, authentication and content fields may not stand in trailers") {
  const auto allowed = [](std::string_view name) {
    return allowed_in_trailers(HeaderField{name, "x", header_id(name)});
  };
  for (const char* name : {"Content-Length", "transfer-encoding", "Host", "Authorization", "Cookie", "Set-Cookie",
                           "Content-Type", "Content-Encoding", "Cache-Control", "Trailer", "TE", "Expect", "Connection",
                           "X-Forwarded-For", "Location", "WWW-Authenticate"}) {
    CAPTURE(name);
    CHECK_FALSE(allowed(name));
  }
  for (const char* name : {"Digest", "Server-Timing", "grpc-status", "ETag", "X-Checksum"}) {
    CAPTURE(name);
    CHECK(allowed(name));
  }
}
