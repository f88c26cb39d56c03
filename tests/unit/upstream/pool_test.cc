#include "upstream/pool.h"

#include <catch2/catch.hpp>

#include "peer.h"

using namespace sluice;
using upstream::Carrier;
using upstream::test::Peer;
using upstream::test::Probe;
using upstream::test::World;

TEST_CASE("a connection that is given back is lent again, and counted as reused") {
  World world;
  Probe first(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  const Carrier* connection = &*first.lease;
  world.exchange(first, peer);
  CHECK(world.pool->idle() == 1);

  Probe second(world.loop);
  world.lease(second);
  CHECK(&*second.lease == connection);
  CHECK(second.lease->reused());
  CHECK(world.figure(world.pool->series().opened) == 1);
  CHECK(world.figure(world.pool->series().reused) == 1);
  CHECK(world.figure(world.pool->series().requests) == 2);
  CHECK(world.figure(world.pool->series().active) == 1);
  world.exchange(second, peer);
  CHECK(world.figure(world.pool->series().idle) == 1);
  world.pool->retire();
  CHECK(world.quiet());
}

TEST_CASE("idle connections are lent last in, first out") {
  World world;
  Probe a(world.loop), b(world.loop);
  world.lease(a);
  Peer peer_a = world.origin.accept();
  world.lease(b);
  Peer peer_b = world.origin.accept();
  const Carrier* of_a = &*a.lease;
  const Carrier* of_b = &*b.lease;
  world.exchange(b, peer_b);
  world.exchange(a, peer_a);
  REQUIRE(world.pool->idle() == 2);

  Probe c(world.loop), d(world.loop);
  world.lease(c);
  CHECK(&*c.lease == of_a);
  world.lease(d);
  CHECK(&*d.lease == of_b);
}

TEST_CASE("who asks for a fresh connection gets no idle one") {
  World world;
  Probe first(world.loop), second(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  world.exchange(first, peer);
  world.lease(second, true);
  CHECK_FALSE(second.lease->reused());
  CHECK(world.pool->open() == 2);
}

TEST_CASE("at max_open the rest wait, and are served first come, first served") {
  World world({.max_open = 1});
  std::vector<std::string> order;
  Probe holder(world.loop), a(world.loop, "a"), b(world.loop, "b"), c(world.loop, "c");
  for (Probe* probe : {&a, &b, &c}) probe->order = &order;
  world.lease(holder);
  Peer peer = world.origin.accept();
  for (Probe* probe : {&a, &b, &c}) REQUIRE(*world.pool->acquire(*probe, false) == nullptr);
  CHECK(world.pool->pending() == 3);
  CHECK(world.figure(world.pool->series().pending) == 3);

  world.exchange(holder, peer);
  CHECK(order == std::vector<std::string>{"a"});
  world.pool->cancel(b);  // leaves the queue
  world.exchange(a, peer);
  CHECK(order == std::vector<std::string>{"a", "c"});
  world.exchange(c, peer);
  CHECK(world.pool->open() == 1);
  CHECK(world.figure(world.pool->series().opened) == 1);
  world.pool->retire();
  CHECK(world.quiet());
}

TEST_CASE("a waiter that dies leaves the queue") {
  World world({.max_open = 1});
  Probe holder(world.loop);
  world.lease(holder);
  {
    Probe gone(world.loop);
    REQUIRE(*world.pool->acquire(gone, false) == nullptr);
    CHECK(world.pool->pending() == 1);
  }
  CHECK(world.pool->pending() == 0);
  CHECK(world.figure(world.pool->series().pending) == 0);
}

TEST_CASE("past max_pending nobody waits: pool_queue_full") {
  World world({.max_open = 1, .max_pending = 1});
  Probe holder(world.loop), waiting(world.loop), refused(world.loop);
  world.lease(holder);
  REQUIRE(world.pool->acquire(waiting, false).has_value());
  const Result<Carrier*> result = world.pool->acquire(refused, false);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().reason == Reason::pool_queue_full);
  CHECK(world.pool->pending() == 1);
}

TEST_CASE("who waits longer than pending_timeout is told, and leaves the queue") {
  World world({.max_open = 1, .pending_timeout = Millis(20)});
  Probe holder(world.loop), waiting(world.loop);
  world.lease(holder);
  REQUIRE(world.pool->acquire(waiting, false).has_value());
  REQUIRE(world.driver.until([&] { return waiting.failed.has_value(); }));
  CHECK(*waiting.failed == Reason::pool_wait_timeout);
  CHECK(world.pool->pending() == 0);
  CHECK(holder.lease);
}

TEST_CASE("a refused connection fails the one who waits longest") {
  World world;
  world.origin.stop_listening();
  std::vector<std::string> order;
  Probe a(world.loop, "a"), b(world.loop, "b");
  a.order = b.order = &order;
  REQUIRE(world.pool->acquire(a, false).has_value());
  REQUIRE(world.pool->acquire(b, false).has_value());
  REQUIRE(world.driver.until([&] { return order.size() == 2; }));
  CHECK(order == std::vector<std::string>{"a failed", "b failed"});
  CHECK(*a.failed == Reason::connect_failed);
  CHECK(world.figure(world.pool->series().connect_failures) == 2);
  CHECK(world.figure(world.pool->series().opened) == 0);
  CHECK(world.closed(Reason::connect_failed) == 2);
  CHECK(world.quiet());
}

TEST_CASE("those who wait at max_open are failed one by one when the endpoint refuses") {
  World world({.max_open = 1});
  world.origin.stop_listening();
  Probe a(world.loop), b(world.loop);
  REQUIRE(world.pool->acquire(a, false).has_value());
  REQUIRE(world.pool->acquire(b, false).has_value());
  REQUIRE(world.driver.until([&] { return a.failed && b.failed; }));
  CHECK(*b.failed == Reason::connect_failed);
  CHECK(world.quiet());
}

TEST_CASE("an idle connection that the endpoint closes is noticed without being asked") {
  World world;
  Probe first(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  world.exchange(first, peer);
  const bool by_reset = GENERATE(false, true);
  by_reset ? peer.reset() : peer.close();
  REQUIRE(world.driver.until([&] { return world.pool->open() == 0; }));
  CHECK(world.closed(Reason::upstream_closed_idle) == 1);
  CHECK(world.quiet());
}

TEST_CASE("an idle connection on which the endpoint speaks out of turn is closed") {
  World world;
  Probe first(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  world.exchange(first, peer);
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(world.driver.until([&] { return world.pool->open() == 0; }));
  CHECK(world.closed(Reason::upstream_bad_response) == 1);
  CHECK(world.quiet());
}

TEST_CASE("an idle connection is closed after idle_timeout") {
  World world({.idle_timeout = Millis(20)});
  Probe first(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  world.exchange(first, peer);
  REQUIRE(world.driver.until([&] { return peer.saw_end(); }));
  CHECK(world.closed(Reason::pool_idle) == 1);
  CHECK(world.quiet());
}

TEST_CASE("a connection past max_lifetime is closed, idle or when it is given back") {
  World world({.max_lifetime = Millis(20)});
  Probe first(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  SECTION("idle") { world.exchange(first, peer); }
  SECTION("given back") {
    const MonoTime late = first.connection().opened_at() + Millis(30);
    REQUIRE(world.driver.until([&] { return world.loop.now() > late; }));
    world.exchange(first, peer);
    CHECK(world.pool->open() == 0);
  }
  REQUIRE(world.driver.until([&] { return peer.saw_end(); }));
  CHECK(world.closed(Reason::pool_lifetime) == 1);
  CHECK(world.quiet());
}

TEST_CASE("a connection serves max_requests and is then closed") {
  World world({.max_requests = 2});
  Probe first(world.loop), second(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  world.exchange(first, peer);
  CHECK(world.pool->idle() == 1);
  world.lease(second);
  world.exchange(second, peer);
  CHECK(world.closed(Reason::pool_lifetime) == 1);
  CHECK(world.quiet());
}

TEST_CASE("connections past max_idle are closed when they are given back") {
  World world({.max_idle = 1});
  Probe a(world.loop), b(world.loop);
  world.lease(a);
  Peer peer_a = world.origin.accept();
  world.lease(b);
  Peer peer_b = world.origin.accept();
  world.exchange(a, peer_a);
  world.exchange(b, peer_b);
  CHECK(world.pool->idle() == 1);
  CHECK(world.pool->open() == 1);
  CHECK(world.closed(Reason::pool_surplus) == 1);
}

TEST_CASE("a connection that nobody waits for any more is kept only if the idle ones have room") {
  World world({.max_idle = 0});
  {
    Probe gone(world.loop);
    REQUIRE(world.pool->acquire(gone, false).has_value());
  }
  REQUIRE(world.driver.until([&] { return world.figure(world.pool->series().opened) == 1; }));
  CHECK(world.closed(Reason::pool_surplus) == 1);
  CHECK(world.quiet());
}

TEST_CASE("retire closes the idle connections now and the others when they come back") {
  World world;
  Probe idle(world.loop), busy(world.loop), connecting(world.loop);
  world.lease(idle);
  Peer peer_idle = world.origin.accept();
  world.lease(busy);
  Peer peer_busy = world.origin.accept();
  world.exchange(idle, peer_idle);
  {
    Probe gone(world.loop);
    REQUIRE(world.pool->acquire(gone, true).has_value());
  }
  world.pool->retire();
  CHECK(world.pool->idle() == 0);
  world.exchange(busy, peer_busy);
  CHECK(busy.body == "ok");
  REQUIRE(world.driver.until([&] { return world.pool->open() == 0; }));
  CHECK(world.closed(Reason::pool_surplus) == 3);
  CHECK(world.quiet());
}

TEST_CASE("a lease that dies closes its connection: nobody knows what is still on its way") {
  World world;
  {
    Probe first(world.loop);
    world.lease(first);
  }
  CHECK(world.closed(Reason::internal_error) == 1);
  CHECK(world.quiet());
}

TEST_CASE("a spoiled connection is not lent again") {
  World world;
  Probe first(world.loop);
  first.release_at_end = false;
  world.lease(first);
  Peer peer = world.origin.accept();
  first.lease->spoil();
  world.exchange(first, peer);
  first.lease.give_back(Reason::keepalive_done);
  // deliver_head() sets what the response allows; spoil() before it must still hold.
  CHECK(world.closed(Reason::keepalive_done) == 1);
  CHECK(world.quiet());
}

TEST_CASE("who waits gets the connection in the very callback in which the one before ends, with nothing of it left") {
  World world({.max_open = 1});
  Probe first(world.loop), second(world.loop);
  world.lease(first);
  Peer peer = world.origin.accept();
  REQUIRE(world.pool->acquire(second, false).has_value());
  peer.send("HTTP/1.1 200 OK\r\nContent-");  // in two pieces, so that the connection has to keep the first
  world.driver.turns(3);
  peer.send("Length: 5\r\n\r\nfirst");
  REQUIRE(world.driver.until([&] { return static_cast<bool>(second.lease); }));
  CHECK(first.body == "first");

  peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecond");
  REQUIRE(world.driver.until([&] { return second.heard("end"); }));
  CHECK(second.events.front() == "head 404");
  CHECK(second.body == "second");
  CHECK(world.pool->idle() == 1);
}

TEST_CASE("closing the pool closes everything and tells nobody") {
  World world({.max_open = 2});
  Probe idle(world.loop), waiting(world.loop);
  world.lease(idle);
  Peer peer = world.origin.accept();
  world.exchange(idle, peer);
  REQUIRE(world.pool->acquire(waiting, true).has_value());
  world.pool.reset();
  world.driver.turns(2);
  CHECK(peer.saw_end());
  CHECK_FALSE(waiting.failed.has_value());
}
