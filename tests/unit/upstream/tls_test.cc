// Connections of a pool that speak TLS, against OpenSSL's server: what only TLS has between two responses.
#include <catch2/catch.hpp>

#include "../tls/server.h"
#include "peer.h"

using namespace sluice;
using namespace sluice::upstream;
using namespace sluice::upstream::test;
using tls::test::Identity;
using tls::test::Server;

namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const Identity& identity() {
  static const Identity made = tls::test::make_identity("app", {.alternative_names = "DNS:app.test"});
  return made;
}

struct TlsWorld : World {
  TlsWorld() {
    tls::ClientContext::Failure failure;
    auto context = tls::ClientContext::make({.ca_pem = identity().certificate_pem()}, failure);
    pool = std::make_unique<Pool>(shared, origin.address(), snapshot::PoolSpec{}, snapshot::ClusterTimeouts{},
                                  EndpointSeries::intern(hold, "u", "tls", true),
                                  EndpointTls{std::move(context), "app.test"});
  }
  /// A first exchange, after which the connection is idle.
  void exchange_once() {
    Probe probe(loop);
    REQUIRE(pool->acquire(probe, false).has_value());
    server = std::make_unique<Server>(origin.accept_fd(), identity());
    REQUIRE(until([&] { return static_cast<bool>(probe.lease); }));
    answer(probe);
    REQUIRE(pool->idle() == 1);
  }
  void answer(Probe& probe) {
    server->to_send = kAnswer;
    REQUIRE(until([&] { return probe.heard("end"); }));
  }
  bool until(const std::function<bool()>& condition) {
    return driver.until([&] {
      server->pump();
      return condition();
    });
  }
  [[nodiscard]] uint64_t handshakes(stats::TlsSession session) const {
    return figure(stats::pick(pool->series().tls_handshakes, session));
  }

  std::unique_ptr<Server> server;
};

}  // namespace

TEST_CASE("what TLS itself says between two responses is no answer to the next request") {
  TlsWorld world;
  world.exchange_once();
  CHECK(world.handshakes(stats::TlsSession::full) == 1);
  Probe next(world.loop);
  const bool is_answer = GENERATE(false, true);
  // The loop hears of both in one turn, first of the letter.
  int turn = 0;
  REQUIRE(world.driver.until([&] {
    if (++turn > 1) return turn > 5;
    world.loop.post([&] { world.lease(next); });
    if (is_answer) {
      world.server->to_send = kAnswer;
    } else {
      SSL_key_update(world.server->ssl(), SSL_KEY_UPDATE_NOT_REQUESTED);
      REQUIRE(SSL_do_handshake(world.server->ssl()) == 1);
    }
    world.server->pump();
    return false;
  }));
  CHECK(next.heard("error upstream_reset") == is_answer);
  if (is_answer) return;
  world.answer(next);
  CHECK(next.body == "ok");
}

TEST_CASE("an idle connection survives what TLS itself says, and ends with a close_notify") {
  TlsWorld world;
  world.exchange_once();
  SSL_key_update(world.server->ssl(), SSL_KEY_UPDATE_REQUESTED);
  REQUIRE(SSL_do_handshake(world.server->ssl()) == 1);
  world.driver.turns(3);
  CHECK(world.pool->idle() == 1);
  SSL_shutdown(world.server->ssl());
  REQUIRE(world.driver.until([&] { return world.pool->idle() == 0; }));
  CHECK(world.closed(Reason::upstream_closed_idle) == 1);
}
