// RedisStore and a cluster of three masters.
#include <catch2/catch.hpp>
#include <deque>
#include <set>

#include "redis_asker.h"
#include "redis_server.h"
#include "redis_tls.h"

using namespace sluice;
using namespace sluice::store;
using namespace sluice::store::test;
using Kind = Outcome::Kind;

namespace {
constexpr Millis kLong{60'000};
constexpr size_t kMasters = 3;

/// Three masters with a third of the slots each, and, if it has a spare one, a fourth node that is known but has no slots.
class Cluster {
 public:
  /// Begins it; it serves once it settles().
  enum class Kind : uint8_t { plain, with_spare, over_tls, kCount };
  explicit Cluster(Kind kind) {
    for (size_t i = 0; i < kMasters + (kind == Kind::with_spare ? 1 : 0); ++i) add_node(i, kind);
    for (size_t i = 1; i < nodes.size(); ++i) {
      const uint16_t port = kind == Kind::over_tls ? tls_ports[i] : nodes[i]->port();
      CHECK(nodes[0]->ask({"CLUSTER", "MEET", "127.0.0.1", std::to_string(port), bus_[i]}) == "OK");
    }
  }
  [[nodiscard]] std::string address_of(size_t i) const { return nodes[i]->address().to_string(); }
  [[nodiscard]] std::string id_of(size_t i) { return nodes[i]->ask({"CLUSTER", "MYID"}); }
  /// Everybody knows everybody, and agrees that everything is served.
  [[nodiscard]] bool settles() {
    return eventually(
        [this] {
          for (const auto& node : nodes) {
            if (node->ask({"CLUSTER", "INFO"}).find("cluster_state:ok") == std::string::npos) return false;
            if (count(node->ask({"CLUSTER", "NODES"}), " connected") != nodes.size()) return false;
          }
          return true;
        },
        Seconds(30));
  }
  [[nodiscard]] Process begin(const std::vector<std::string>& command) {
    Process process;
    process.start(command, folder_ / "cli");
    return process;
  }
  [[nodiscard]] size_t owner_of(std::string_view key) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (!nodes[i]->ask({"EXISTS", std::string(key)}).starts_with("MOVED ")) return i;
    }
    FAIL("nobody has " << key);
    return 0;
  }

  std::vector<std::unique_ptr<RedisServer>> nodes;
  std::vector<uint16_t> tls_ports;

 private:
  void add_node(size_t i, Kind kind) {
    const std::vector<uint16_t> ports = free_ports(2);
    bus_.push_back(std::to_string(ports[0]));
    tls_ports.push_back(ports[1]);
    std::vector<std::string> options = {"--cluster-enabled",      "yes", "--cluster-port", bus_.back(),
                                        "--cluster-node-timeout", "2000"};
    if (kind == Kind::over_tls) {
      const std::vector<std::string> tls = TlsFiles::get().options(tls_ports.back());
      options.insert(options.end(), tls.begin(), tls.end());
      options.insert(options.end(), {"--tls-cluster", "yes"});
    }
    RedisServer& node = *nodes.emplace_back(std::make_unique<RedisServer>(options));
    CHECK(node.ask({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)}) == "OK");
    if (i >= kMasters) return;
    const auto first = [](size_t master) { return (kSlots * master + kMasters - 1) / kMasters; };
    CHECK(node.ask({"CLUSTER", "ADDSLOTSRANGE", std::to_string(first(i)), std::to_string(first(i + 1) - 1)}) == "OK");
  }
  static size_t count(std::string_view text, std::string_view word) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; at += word.size()) ++found;
    return found;
  }

  TestFolder folder_;
  std::vector<std::string> bus_;
};

/// A fresh one. A master of a cluster serves nobody in its first two seconds, so those of all tests here are begun at once, with
/// the first; each waits for no more than what is left of that.
std::unique_ptr<Cluster> take_cluster(Cluster::Kind kind = Cluster::Kind::plain) {
  using Kind = Cluster::Kind;
  constexpr Kind kWanted[] = {Kind::plain, Kind::plain, Kind::plain, Kind::plain, Kind::with_spare, Kind::over_tls};
  static std::vector<std::unique_ptr<Cluster>> prepared[static_cast<size_t>(Kind::kCount)];
  if (static bool begun = false; !std::exchange(begun, true)) {
    for (const Kind each : kWanted) prepared[static_cast<size_t>(each)].push_back(std::make_unique<Cluster>(each));
  }
  auto& fitting = prepared[static_cast<size_t>(kind)];
  REQUIRE_FALSE(fitting.empty());
  std::unique_ptr<Cluster> taken = std::move(fitting.back());
  fitting.pop_back();
  REQUIRE(taken->settles());
  return taken;
}

RedisOptions options_for(const Cluster& cluster, Millis timeout = Millis(5000)) {
  return {.mode = RedisOptions::Mode::cluster,
          .addresses = {cluster.nodes[0]->address()},
          .connections = 1,
          .timeout = timeout};
}
}  // namespace

TEST_CASE("a cluster: every key at its node, without a redirection, from one address", "[redis][cluster]") {
  const auto taken = take_cluster();
  Cluster& cluster = *taken;
  RedisWorld world(options_for(cluster));
  // Commands that come before the map is there wait for it.
  CHECK(world.kind({.operation = Operation::put, .key = "first", .value = "v", .ttl = kLong}) == Kind::done);
  REQUIRE(world.comes_up());
  for (const std::string_view key : {"foo", "bar", "{tag}a", "{tag}b", "", "{}x"}) {
    CHECK(cluster.nodes[0]->ask({"CLUSTER", "KEYSLOT", std::string(key)}) == std::to_string(slot_of(key)));
  }
  std::deque<Asker> askers(300);
  for (size_t i = 0; i < askers.size(); ++i) {
    askers[i].ask(*world.store, {.operation = Operation::add, .key = "key" + std::to_string(i % 100), .ttl = kLong});
  }
  REQUIRE(world.driver.until([&] { return world.store->figures().in_flight == 0; }));
  for (size_t i = 0; i < askers.size(); ++i) REQUIRE(askers[i].outcome->sum == static_cast<int64_t>(i / 100 + 1));
  CHECK(world.store->figures().moved == 0);
  for (const auto& node : cluster.nodes) CHECK(std::stoi(node->ask({"DBSIZE"})) > 10);
  CHECK(world.kind({.operation = Operation::take, .key = "rate"}) == Kind::done);
}

TEST_CASE("a cluster over TLS: its nodes tell where TLS is spoken", "[redis][cluster]") {
  const auto taken = take_cluster(Cluster::Kind::over_tls);
  RedisOptions options = options_for(*taken);
  options.addresses = {loopback(taken->tls_ports[0])};
  options.tls = TlsFiles::get().context();
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  std::deque<Asker> askers(100);
  for (size_t i = 0; i < askers.size(); ++i) {
    askers[i].ask(*world.store, {.operation = Operation::add, .key = "key" + std::to_string(i), .ttl = kLong});
  }
  REQUIRE(world.driver.until([&] { return world.store->figures().in_flight == 0; }));
  for (const Asker& asker : askers) REQUIRE(asker.is(Kind::done));
  for (size_t i = 0; i < kMasters; ++i) {
    CHECK(std::stoi(taken->nodes[i]->ask({"DBSIZE"})) > 10);
    const std::string ours = taken->nodes[i]->ask({"CLIENT", "LIST"});
    CHECK(ours.find("laddr=127.0.0.1:" + std::to_string(taken->tls_ports[i])) != std::string::npos);
  }
}

TEST_CASE("a slot that moves while it is used: ASK and MOVED are followed, and nothing is lost", "[redis][cluster]") {
  const auto taken = take_cluster();
  Cluster& cluster = *taken;
  RedisWorld world(options_for(cluster));
  REQUIRE(world.comes_up());
  const std::string key = "{moving}a", later = "{moving}b";
  const std::string slot = std::to_string(slot_of(key));
  const size_t from = cluster.owner_of(key), to = (from + 1) % kMasters;
  CHECK(world.run({.operation = Operation::add, .key = key, .ttl = kLong}).sum == 1);
  CHECK(cluster.nodes[to]->ask({"CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(from)}) == "OK");
  CHECK(cluster.nodes[from]->ask({"CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(to)}) == "OK");
  // What is still there is served there, what is not by the other.
  CHECK(world.run({.operation = Operation::add, .key = key, .ttl = kLong}).sum == 2);
  CHECK(world.store->figures().asked == 0);
  CHECK(world.run({.operation = Operation::add, .key = later, .ttl = kLong}).sum == 1);
  CHECK(world.store->figures().asked == 1);
  CHECK(cluster.nodes[from]->ask(
            {"MIGRATE", "127.0.0.1", std::to_string(cluster.nodes[to]->port()), key, "0", "5000"}) == "OK");
  std::deque<Asker> askers(10);
  for (Asker& asker : askers) asker.ask(*world.store, {.operation = Operation::add, .key = key, .ttl = kLong});
  REQUIRE(world.driver.until([&] { return world.store->figures().in_flight == 0; }));
  CHECK(askers.back().outcome->sum == 12);
  CHECK(world.store->figures().asked == 11);
  CHECK(world.store->figures().moved == 0);

  for (const auto& node : cluster.nodes)
    CHECK(node->ask({"CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(to)}) == "OK");
  CHECK(world.run({.operation = Operation::add, .key = key, .ttl = kLong}).sum == 13);
  CHECK(world.run({.operation = Operation::add, .key = later, .ttl = kLong}).sum == 2);
  CHECK(world.store->figures().moved == 1);  // the first one told where the slot is
  CHECK(world.store->figures().unavailable == 0);
}

TEST_CASE("resharding to a new node under load fails no command", "[redis][cluster]") {
  const auto taken = take_cluster(Cluster::Kind::with_spare);
  Cluster& cluster = *taken;
  RedisWorld world(options_for(cluster));
  REQUIRE(world.comes_up());
  // redis-cli gives away the lowest slots of each master: keys that will move.
  constexpr size_t kKeys = 64;
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < kKeys; ++i) {
    const std::string key = "key" + std::to_string(i);
    if (slot_of(key) % (kSlots / kMasters + 1) < 20) keys.push_back(key);
  }
  std::deque<Asker> askers(kKeys);
  std::vector<int64_t> expected(kKeys, 0);
  size_t wrong = 0;
  const auto load = [&] {
    for (size_t i = 0; i < kKeys; ++i) {
      if (expected[i] > 0 && !askers[i].outcome) continue;
      if (expected[i] > 0 && !(askers[i].is(Kind::done) && askers[i].outcome->sum == expected[i])) ++wrong;
      ++expected[i];
      askers[i].ask(*world.store, {.operation = Operation::add, .key = keys[i], .ttl = kLong});
    }
  };
  Process reshard = cluster.begin({"redis-cli", "--cluster", "reshard", cluster.address_of(0), "--cluster-from", "all",
                                   "--cluster-to", cluster.id_of(3), "--cluster-slots", "90", "--cluster-yes"});
  const auto reshard_ended = [&] {
    load();
    return reshard.ended();
  };
  REQUIRE(world.driver.until(reshard_ended, Seconds(60)));
  CHECK(reshard.wait() == 0);
  REQUIRE(world.driver.until([&] { return world.store->figures().in_flight == 0; }));
  CHECK(wrong == 0);
  CHECK(world.store->figures().moved > 0);
  CHECK(world.store->figures().unavailable + world.store->figures().timeouts + world.store->figures().refused == 0);
  CHECK(cluster.nodes[3]->ask({"DBSIZE"}) == std::to_string(kKeys));
  CHECK(world.store->figures().commands > 2 * kKeys);
}

TEST_CASE("a node that vanishes takes its slots with it, and brings them back; the others serve on",
          "[redis][cluster]") {
  const auto taken = take_cluster();
  Cluster& cluster = *taken;
  // Or the others would refuse everything as soon as they notice.
  for (const auto& node : cluster.nodes)
    CHECK(node->ask({"CONFIG", "SET", "cluster-require-full-coverage", "no"}) == "OK");
  RedisWorld world(options_for(cluster, Millis(300)));
  REQUIRE(world.comes_up());
  std::vector<std::string> key_at(kMasters);
  for (int i = 0; std::any_of(key_at.begin(), key_at.end(), [](const auto& key) { return key.empty(); }); ++i) {
    key_at[cluster.owner_of("key" + std::to_string(i))] = "key" + std::to_string(i);
  }
  const size_t gone = 0;  // the only address that the store was told
  const bool paused = GENERATE(false, true);
  CAPTURE(paused);
  if (paused) {
    cluster.nodes[gone]->pause();
    REQUIRE(world.driver.until([&] {
      if (world.asker.outcome || world.asker.answers == 0)
        world.asker.ask(*world.store, {.operation = Operation::get, .key = key_at[gone]});
      return !world.store->available();
    }));
  } else {
    cluster.nodes[gone]->kill();
    REQUIRE(world.driver.until([&] { return !world.store->available(); }));
  }
  world.asker.ask(*world.store, {.operation = Operation::get, .key = key_at[gone]});
  CHECK(world.asker.failed(Reason::store_unavailable));
  CHECK(world.kind({.operation = Operation::get, .key = key_at[1]}) == Kind::absent);
  CHECK(world.kind({.operation = Operation::get, .key = key_at[2]}) == Kind::absent);
  if (paused) {
    cluster.nodes[gone]->resume();
  } else {
    cluster.nodes[gone]->start();
  }
  REQUIRE(world.comes_up());
  REQUIRE(cluster.settles());
  CHECK(world.kind({.operation = Operation::get, .key = key_at[gone]}) == Kind::absent);
}
