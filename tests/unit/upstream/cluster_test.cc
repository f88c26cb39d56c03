#include "upstream/cluster.h"

#include <catch2/catch.hpp>

#include "peer.h"

using namespace sluice;
using snapshot::Balance;
using upstream::Cluster;
using upstream::Endpoint;
using upstream::test::Probe;
using upstream::test::World;

namespace {

/// A cluster whose endpoints, called "0", "1", ..., have these weights; all are the same listening socket.
struct Fleet {
  Fleet(Balance balance, const std::vector<uint32_t>& weights) {
    const snapshot::ClusterSpec spec{.name = "u", .balance = balance};
    for (const uint32_t weight : weights) {
      const std::string name = std::to_string(members.size());
      // All reach the same listening socket, whatever the last byte of the address is.
      const auto ip = SocketAddress::parse_ip("127.0.0." + std::to_string(1 + members.size()));
      const SocketAddress address = ip->with_port(world.origin.address().port());
      members.push_back({address, name, weight, World::series_of(world.hold, name)});
    }
    cluster.emplace(world.shared, spec, members);
  }

  Endpoint& endpoint(size_t index) { return *cluster->endpoints()[index]; }
  /// Makes `count` exchanges wait at an endpoint: they are its load.
  void load(size_t index, int count) {
    for (int i = 0; i < count; ++i) {
      probes.push_back(std::make_unique<Probe>(world.loop));
      REQUIRE(endpoint(index).pool().acquire(*probes.back(), false).has_value());
    }
  }
  /// How often each endpoint is chosen out of `draws`.
  std::vector<int> shares(int draws, const Endpoint* avoid = nullptr) {
    std::vector<int> count(cluster->endpoints().size());
    for (int i = 0; i < draws; ++i) ++count[std::stoul(cluster->choose(avoid).name())];
    return count;
  }
  std::string sequence(int draws) {
    std::string names;
    for (int i = 0; i < draws; ++i) names += cluster->choose(nullptr).name();
    return names;
  }

  World world;
  upstream::Members members;
  std::vector<std::unique_ptr<Probe>> probes;
  std::optional<Cluster> cluster;
};

bool within(int value, int expected, int tolerance) {
  return value >= expected - tolerance && value <= expected + tolerance;
}

constexpr Balance kAll[] = {Balance::round_robin, Balance::random, Balance::least_request, Balance::p2c};

}  // namespace

TEST_CASE("round robin takes turns") {
  Fleet fleet(Balance::round_robin, {1, 1, 1});
  CHECK(fleet.sequence(7) == "0120120");
}

TEST_CASE("weighted round robin gives each its share and spreads the turns of the heavy one") {
  Fleet fleet(Balance::round_robin, {5, 1, 1});
  CHECK(fleet.sequence(7) == "0010200");
  CHECK(fleet.shares(700) == std::vector<int>{500, 100, 100});
}

TEST_CASE("random follows the weights") {
  Fleet fleet(Balance::random, {1, 3, 6});  // the generator's seed is fixed
  const auto shares = fleet.shares(10'000);
  CHECK(within(shares[0], 1000, 150));
  CHECK(within(shares[1], 3000, 200));
  CHECK(within(shares[2], 6000, 200));
}

TEST_CASE("least_request takes the one with the least load for its weight") {
  Fleet fleet(Balance::least_request, {1, 1, 4});
  fleet.load(0, 1);
  fleet.load(1, 2);
  fleet.load(2, 3);
  CHECK(fleet.shares(100) == std::vector<int>{0, 0, 100});  // 3 in 4
  fleet.load(2, 2);
  CHECK(fleet.shares(100) == std::vector<int>{100, 0, 0});  // 1 in 1 against 5 in 4
}

TEST_CASE("least_request spreads ties") {
  Fleet fleet(Balance::least_request, {1, 1, 1});
  for (const int share : fleet.shares(3'000)) CHECK(within(share, 1000, 150));
}

TEST_CASE("p2c of two takes the less loaded one") {
  Fleet fleet(Balance::p2c, {1, 1});
  fleet.load(0, 2);
  fleet.load(1, 1);
  CHECK(fleet.shares(100) == std::vector<int>{0, 100});
}

TEST_CASE("p2c never takes the worst of many, but not always the best") {
  Fleet fleet(Balance::p2c, {1, 1, 1, 1});
  for (size_t i = 0; i < 4; ++i) fleet.load(i, static_cast<int>(i));
  const auto shares = fleet.shares(6'000);
  CHECK(within(shares[0], 3000, 200));  // three of the six pairs
  CHECK(within(shares[1], 2000, 200));
  CHECK(within(shares[2], 1000, 200));
  CHECK(shares[3] == 0);
}

TEST_CASE("p2c spreads over equal endpoints") {
  Fleet fleet(Balance::p2c, {1, 1});
  const auto shares = fleet.shares(2'000);
  CHECK(within(shares[0], 1000, 100));
}

TEST_CASE("p2c gives a slow endpoint less, but never nothing, while both are free") {
  Fleet fleet(Balance::p2c, {1, 1});
  fleet.endpoint(0).observe(fleet.world.loop.now(), Millis(99));  // costs 100 with the millisecond that is noise
  const auto shares = fleet.shares(10'100);
  CHECK(within(shares[0], 100, 50));
}

TEST_CASE("p2c takes a loaded fast endpoint rather than a slow one that is free") {
  Fleet fleet(Balance::p2c, {1, 1});
  fleet.endpoint(0).observe(fleet.world.loop.now(), Millis(99));
  fleet.endpoint(1).observe(fleet.world.loop.now(), Millis(1));
  fleet.load(1, 1);
  CHECK(fleet.shares(100) == std::vector<int>{0, 100});  // twice (1 + 1) ms against 100 ms
}

TEST_CASE("p2c takes an endpoint that has a request and never answered for slow") {
  Fleet fleet(Balance::p2c, {1, 1});
  fleet.endpoint(0).observe(fleet.world.loop.now(), Millis(99));
  fleet.load(0, 2);
  fleet.load(1, 1);
  CHECK(fleet.shares(100) == std::vector<int>{100, 0});  // three times 100 ms against twice a second
}

TEST_CASE("an endpoint's cost follows its latency, halves with each second of silence, and grows with its load") {
  Fleet fleet(Balance::p2c, {1, 2});
  Endpoint& endpoint = fleet.endpoint(0);
  const MonoTime now = fleet.world.loop.now();
  CHECK(endpoint.cost(now) == Approx(1000));
  endpoint.observe(now, Millis(8));
  CHECK(endpoint.cost(now) == Approx(9000));
  endpoint.observe(now, Millis(16));  // an eighth of the way
  CHECK(endpoint.cost(now) == Approx(10'000));
  CHECK(endpoint.cost(now + Seconds(1)) == Approx(5'500));
  CHECK(endpoint.cost(now + Seconds(3'600)) == Approx(1000));
  fleet.load(0, 1);
  CHECK(endpoint.cost(now) == Approx(20'000));
  CHECK(fleet.endpoint(1).cost(now) == Approx(500));  // twice the weight
}

TEST_CASE("a retry goes to another endpoint, whatever the balance") {
  const Balance balance = GENERATE(from_range(std::begin(kAll), std::end(kAll)));
  Fleet fleet(balance, {1, 1, 1});
  fleet.load(1, 3);
  fleet.load(2, 3);  // the one that failed is the least loaded
  const auto shares = fleet.shares(300, &fleet.endpoint(0));
  CHECK(shares[0] == 0);
}

TEST_CASE("retries spread over the endpoints that are left") {
  const Balance balance = GENERATE(from_range(std::begin(kAll), std::end(kAll)));
  Fleet fleet(balance, {1, 1, 1});
  const size_t failed = GENERATE(0u, 1u, 2u);
  // Those that failed a try have nothing to do, and look attractive.
  for (size_t i = 0; i < 3; ++i) fleet.load(i, i == failed ? 0 : 2);
  const auto shares = fleet.shares(3'000, &fleet.endpoint(failed));
  CAPTURE(balance, failed, shares);
  for (size_t i = 0; i < 3; ++i) CHECK((shares[i] > 900) == (i != failed));
}

TEST_CASE("members that stay keep their pools and their turn; others come and go") {
  const Balance balance = GENERATE(from_range(std::begin(kAll), std::end(kAll)));
  Fleet fleet(balance, {1, 1, 1});
  Endpoint* const kept = &fleet.endpoint(1);
  kept->observe(fleet.world.loop.now(), Millis(8));
  fleet.cluster->set_members(std::span(fleet.members).subspan(1, 1));
  REQUIRE(fleet.cluster->endpoints().size() == 1);
  CHECK(&fleet.endpoint(0) == kept);
  CHECK(kept->cost(fleet.world.loop.now()) == Approx(9000));
  CHECK(fleet.sequence(3) == "111");
  fleet.cluster->set_members(fleet.members);
  REQUIRE(fleet.cluster->endpoints().size() == 3);
  CHECK(&fleet.endpoint(1) == kept);
  std::vector<int> count(3);
  for (int i = 0; i < 300; ++i) ++count[std::stoul(fleet.cluster->choose(nullptr).name())];
  for (const int share : count) CHECK(share > 0);
}

TEST_CASE("a member with another weight is another endpoint") {
  Fleet fleet(Balance::round_robin, {1, 1});
  fleet.members[0].weight = 3;
  fleet.cluster->set_members(fleet.members);
  CHECK(fleet.shares(400) == std::vector<int>{300, 100});
}

TEST_CASE("servers at one address that have different names to be verified are different endpoints") {
  Fleet fleet(Balance::p2c, {1, 1});
  fleet.members[1].address = fleet.members[0].address;
  fleet.members[0].server_name = "a.test";
  fleet.members[1].server_name = "b.test";
  fleet.cluster->set_members(fleet.members);
  const Endpoint* const second = &fleet.endpoint(1);
  fleet.cluster->set_members(std::span(fleet.members).subspan(1, 1));
  CHECK(&fleet.endpoint(0) == second);
}

TEST_CASE("a cluster may have no members at all") {
  Fleet fleet(Balance::p2c, {1, 1});
  fleet.cluster->set_members({});
  CHECK(fleet.cluster->empty());
  fleet.cluster->set_members(fleet.members);
  CHECK_FALSE(fleet.cluster->empty());
}

TEST_CASE("an endpoint that is gone closes its idle connections, and serves who has one or waits for one") {
  Fleet fleet(Balance::p2c, {1});
  upstream::EndpointRef held(fleet.endpoint(0));
  upstream::Pool& pool = held->pool();
  Probe idle(fleet.world.loop);
  Probe busy(fleet.world.loop);
  Probe waiting(fleet.world.loop);
  REQUIRE(pool.acquire(idle, false).has_value());
  REQUIRE(pool.acquire(busy, false).has_value());
  REQUIRE(fleet.world.driver.until([&] { return idle.lease && busy.lease; }));
  upstream::test::Peer idle_peer = fleet.world.origin.accept();
  upstream::test::Peer busy_peer = fleet.world.origin.accept();
  idle_peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(fleet.world.driver.until([&] { return pool.idle() == 1; }));
  REQUIRE(pool.acquire(waiting, true).has_value());

  fleet.cluster->set_members({});
  CHECK(pool.idle() == 0);
  CHECK(fleet.world.figure(pool.series().idle) == 0);
  CHECK(fleet.world.driver.until([&] { return idle_peer.saw_end(); }));
  REQUIRE(fleet.world.driver.until([&] { return static_cast<bool>(waiting.lease); }));
  CHECK(pool.leased() == 2);
  fleet.world.exchange(busy, busy_peer);
  CHECK(busy.body == "ok");
  CHECK(fleet.world.driver.until([&] { return busy_peer.saw_end(); }));
  waiting.lease.give_back(Reason::client_closed);
  CHECK(pool.open() == 0);
  CHECK(fleet.world.figure(pool.series().active) == 0);
}

TEST_CASE("an endpoint that is gone is freed by the last who holds it, with what it still opens") {
  Fleet fleet(Balance::p2c, {1});
  const upstream::EndpointSeries series = fleet.endpoint(0).pool().series();
  auto probe = std::make_unique<Probe>(fleet.world.loop);
  upstream::EndpointRef held(fleet.endpoint(0));
  REQUIRE(held->pool().acquire(*probe, false).has_value());
  fleet.cluster->set_members({});
  probe.reset();  // it will not wait for the connection
  CHECK(fleet.world.figure(stats::pick(series.closed, Reason::pool_surplus)) == 0);
  held = {};
  fleet.world.driver.turns(2);
  CHECK(fleet.world.figure(stats::pick(series.closed, Reason::pool_surplus)) == 1);
}

TEST_CASE("a retry goes to the same endpoint if there is no other") {
  Fleet fleet(Balance::p2c, {1});
  CHECK(&fleet.cluster->choose(&fleet.endpoint(0)) == &fleet.endpoint(0));
}
