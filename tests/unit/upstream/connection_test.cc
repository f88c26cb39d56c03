#include "upstream/connection.h"

#include <catch2/catch.hpp>

#include "peer.h"

using namespace sluice;
using http::Method;
using upstream::Pool;
using upstream::test::Origin;
using upstream::test::Peer;
using upstream::test::Probe;
using upstream::test::World;
using Events = std::vector<std::string>;

namespace {

/// One exchange whose response the test writes byte by byte.
struct Talk {
  explicit Talk(Method method = Method::GET, snapshot::ClusterTimeouts timeouts = {}) : world({}, timeouts) {
    probe.method = method;
    world.lease(probe);
    peer.emplace(world.origin.accept());
  }
  void hear(std::string_view event) {
    REQUIRE(world.driver.until([&] { return probe.heard(event); }));
  }
  void say(std::string_view bytes) {
    peer->send(bytes);
    world.driver.turns(3);
  }

  World world;
  Probe probe{world.loop};
  std::optional<Peer> peer;
};

}  // namespace

TEST_CASE("a response in one piece: head, body, end, and the connection can be used again") {
  Talk talk;
  talk.peer->send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  talk.hear("end");
  CHECK(talk.probe.events == Events{"head 200", "end"});
  CHECK(talk.probe.body == "hello");
  CHECK(talk.probe.reusable_at_end == true);
  CHECK(talk.probe.pause_points == 0);  // it was given back before
  CHECK(talk.world.pool->idle() == 1);
}

TEST_CASE("a response that comes byte by byte is the same response") {
  Talk talk;
  for (const char byte : std::string_view("HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
                                          "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")) {
    talk.peer->send({&byte, 1});
    talk.world.driver.turns(1);
  }
  talk.hear("end");
  CHECK(talk.probe.events == Events{"head 200", "end", "trailer X-Sum=5"});
  CHECK(talk.probe.body == "abcde");
  CHECK(talk.probe.reusable_at_end == true);
}

TEST_CASE("1xx responses are told apart from the final one, together or in pieces") {
  Talk talk;
  talk.peer->send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 20");
  talk.hear("informational 103");
  talk.peer->send("0 OK\r\nContent-Length: 0\r\n\r\n");
  talk.hear("end");
  CHECK(talk.probe.events == Events{"informational 100", "informational 103", "head 200", "end"});
  CHECK(talk.probe.reusable_at_end == true);
}

TEST_CASE("an endpoint that sends 1xx without end is given up") {
  Talk talk;
  for (int i = 0; i < 17; ++i) talk.peer->send("HTTP/1.1 102 Processing\r\n\r\n");
  talk.hear("error upstream_bad_response");
  CHECK(talk.probe.events.size() == 17);  // 16 of them, and the error
  CHECK(talk.world.quiet());
}

TEST_CASE("1xx responses may together be as large as one head") {
  Talk talk;
  const std::string hint = "HTTP/1.1 103 Early Hints\r\nX: " + std::string(16 * 1024 - 33, 'x') + "\r\n\r\n";
  REQUIRE(hint.size() == 16 * 1024);
  for (int i = 0; i < 5; ++i) talk.say(hint);
  Events four(4, "informational 103");
  four.emplace_back("error upstream_head_too_large");
  CHECK(talk.probe.events == four);
  CHECK(talk.world.quiet());
}

TEST_CASE("responses without a body end with their head") {
  struct Row {
    Method method;
    std::string_view response;
  };
  const auto row = GENERATE(values<Row>({{Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
                                         {Method::HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
                                         {Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"},
                                         {Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
                                         {Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}}));
  CAPTURE(row.response);
  Talk talk(row.method);
  talk.peer->send(row.response);
  talk.hear("end");
  CHECK(talk.probe.body.empty());
  CHECK(talk.probe.reusable_at_end == true);
}

TEST_CASE("a body without a length ends with the connection, which cannot be used again") {
  Talk talk;
  talk.peer->send("HTTP/1.1 200 OK\r\n\r\nhello");
  talk.hear("head 200");
  talk.peer->send(" world");
  talk.peer->close();
  talk.hear("end");
  CHECK(talk.probe.body == "hello world");
  CHECK(talk.probe.reusable_at_end == false);
  CHECK(talk.world.closed(Reason::keepalive_done) == 1);
  CHECK(talk.world.quiet());
}

TEST_CASE("an endpoint that says close, or speaks 1.0, is not asked again") {
  const std::string_view head =
      GENERATE(values<std::string_view>({"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                                         "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"}));
  Talk talk;
  talk.peer->send(head);
  talk.hear("end");
  CHECK(talk.probe.body == "ok");
  CHECK(talk.probe.reusable_at_end == false);
  CHECK(talk.world.quiet());
}

TEST_CASE("bytes past the end of a response spoil the connection and reach nobody") {
  const std::string_view response = GENERATE(
      values<std::string_view>({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
                                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx", "HTTP/1.1 204 No Content\r\n\r\nx",
                                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx"}));
  CAPTURE(response);
  Talk talk;
  talk.peer->send(response);
  talk.hear("end");
  CHECK((talk.probe.body.empty() || talk.probe.body == "ok"));
  CHECK(talk.probe.reusable_at_end == false);
  CHECK(talk.world.quiet());
}

TEST_CASE("bytes past the end of a response are found even if a read ended exactly there") {
  const std::string behind = GENERATE(values<std::string>({"", "x"}));
  const sockaddr nameless{.sa_family = AF_UNIX, .sa_data = {}};  // a unix socket's bytes are there once they are sent
  Origin origin(SocketAddress::from(&nameless, sizeof(sa_family_t)));
  World world;
  Pool pool(world.shared, origin.address(), {}, {}, World::series_of(world.hold));
  Probe probe(world.loop);
  REQUIRE(pool.acquire(probe, false).has_value());
  Peer peer = origin.accept();
  constexpr size_t kRead = 64 * 1024;  // while a head is awaited
  std::string response = "HTTP/1.1 200 OK\r\nContent-Length: 65494\r\n\r\n";
  response.resize(kRead, '.');
  peer.send(response + behind);
  REQUIRE(world.driver.until([&] { return probe.heard("end"); }));
  CHECK(probe.body.size() == 65494);
  CHECK(probe.reusable_at_end == behind.empty());
}

TEST_CASE("bytes that come while the user still holds a complete response spoil the connection") {
  Talk talk;
  talk.probe.release_at_end = false;
  talk.peer->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  talk.hear("end");
  CHECK(talk.probe.reusable_at_end == true);
  talk.say("HTTP/1.1 200 OK\r\n");
  CHECK_FALSE(talk.probe.reusable());
  CHECK(talk.probe.body == "ok");
}

TEST_CASE("an endpoint that closes while the user still holds a complete response is no error") {
  Talk talk;
  talk.probe.release_at_end = false;
  talk.peer->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  talk.hear("end");
  talk.peer->close();
  REQUIRE(talk.world.driver.until([&] { return !talk.probe.reusable(); }));
  CHECK(talk.probe.events == Events{"head 200", "end"});
}

TEST_CASE("what is not a response is named by its reason") {
  struct Row {
    std::string_view response;
    std::string_view event;
  };
  const auto row = GENERATE(values<Row>(
      {{"SSH-2.0-OpenSSH_9.2\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/2.0 200 OK\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 20 OK\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\nA: b\n\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "error upstream_bad_response"},
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "error upstream_bad_body"},
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "error upstream_bad_body"},
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n bad: trailer\r\n\r\n",
        "error upstream_bad_body"}}));
  CAPTURE(row.response);
  Talk talk;
  talk.peer->send(row.response);
  talk.hear(row.event);
  CHECK(talk.world.quiet());
}

TEST_CASE("a head past its limits is upstream_head_too_large") {
  const int kind = GENERATE(0, 1, 2);
  std::string head = "HTTP/1.1 200 ";
  if (kind == 0) head.append(9'000, 'x');
  if (kind == 1) head += "OK\r\nA: " + std::string(70'000, 'x');
  if (kind == 2) {
    head += "OK\r\n";
    for (int i = 0; i < 257; ++i) head += "A: b\r\n";
  }
  Talk talk;
  talk.peer->send(head);
  talk.hear("error upstream_head_too_large");
  CHECK(talk.world.quiet());
}

TEST_CASE("an endpoint that ends early: the reason tells what was lost") {
  struct Row {
    std::string_view sent;
    std::string_view event;
  };
  const auto row = GENERATE(values<Row>(
      {{"", "error upstream_reset"},
       {"HTTP/1.1 200 OK\r\nConte", "error upstream_reset"},
       {"HTTP/1.1 100 Continue\r\n\r\n", "error upstream_reset"},
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "error upstream_truncated"},
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "error upstream_truncated"},
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "error upstream_truncated"}}));
  const bool by_reset = GENERATE(false, true);
  CAPTURE(row.sent, by_reset);
  Talk talk;
  if (!row.sent.empty()) talk.say(row.sent);
  by_reset ? talk.peer->reset() : talk.peer->close();
  talk.hear(row.event);
  CHECK_FALSE(talk.probe.heard("end"));
  CHECK(talk.world.quiet());
}

TEST_CASE("a reset in a body that the connection's end delimits is an error, not the end") {
  Talk talk;
  talk.say("HTTP/1.1 200 OK\r\n\r\nhello");
  talk.peer->reset();
  talk.hear("error upstream_truncated");
  CHECK_FALSE(talk.probe.heard("end"));
}

TEST_CASE("after a 101 bytes pass as they come until the endpoint closes") {
  Talk talk;
  talk.probe.release_at_end = false;
  talk.peer->send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nHTTP/1.1 ");
  talk.hear("head 101");
  talk.say("is not looked at\r\n\r\n");
  CHECK(talk.probe.body == "HTTP/1.1 is not looked at\r\n\r\n");
  talk.peer->close();
  talk.hear("end");
  CHECK(talk.probe.reusable_at_end == false);
}

TEST_CASE("the user who armed a timeout hears of its reason") {
  Talk talk;
  talk.probe.lease->arm(Millis(20), Reason::upstream_timeout);
  talk.hear("error upstream_timeout");
  CHECK(talk.world.closed(Reason::upstream_timeout) == 1);
  CHECK(talk.world.quiet());
}

TEST_CASE("a body that stalls longer than timeouts.idle is upstream_idle_timeout") {
  Talk talk(Method::GET, {.idle = Millis(20)});
  talk.peer->send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  talk.hear("error upstream_idle_timeout");
  CHECK(talk.world.quiet());
}

TEST_CASE("a paused connection hands over nothing and does not time out; resumed it goes on") {
  Talk talk(Method::GET, {.idle = Millis(20)});
  talk.peer->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  talk.hear("head 200");
  talk.probe.lease->pause_reading();
  talk.peer->send("world");
  const MonoTime later = talk.world.loop.now() + Millis(50);
  REQUIRE(talk.world.driver.until([&] { return talk.world.loop.now() > later; }));
  CHECK(talk.probe.events == Events{"head 200"});
  CHECK(talk.probe.body == "hello");
  talk.probe.lease->resume_reading();
  talk.hear("end");
  CHECK(talk.probe.body == "helloworld");
}

TEST_CASE("a body of known length goes into the user's pipe, and the next user starts clean") {
  World world({.max_open = 1});
  Probe first(world.loop), second(world.loop);
  first.pipe = event::Pipe::open();
  world.lease(first);
  Peer peer = world.origin.accept();
  REQUIRE(world.pool->acquire(second, false).has_value());
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello");
  REQUIRE(world.driver.until([&] { return first.body == "hello"; }));  // came with the head
  peer.send(" world");
  REQUIRE(world.driver.until([&] { return static_cast<bool>(second.lease); }));
  CHECK(first.spliced == 6);
  world.driver.turns(2);
  CHECK(second.events.empty());
  world.exchange(second, peer);
  CHECK(second.events == Events{"head 200", "end"});
}

TEST_CASE("an endpoint that closes within a spliced body is upstream_truncated") {
  Talk talk;
  talk.probe.pipe = event::Pipe::open();
  talk.say("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello");
  talk.say(" wo");
  talk.peer->close();
  talk.hear("error upstream_truncated");
  CHECK(talk.probe.pipe->held() == 3);
  CHECK(talk.world.quiet());
}
