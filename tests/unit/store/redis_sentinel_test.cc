// RedisStore and sentinels: a master, its replica and one sentinel whose word is enough.
#include <catch2/catch.hpp>

#include "redis_asker.h"
#include "redis_server.h"
#include "redis_tls.h"

using namespace sluice;
using namespace sluice::store;
using namespace sluice::store::test;
using Kind = Outcome::Kind;

namespace {
constexpr Millis kLong{60'000};

class Sentinel {
 public:
  explicit Sentinel(const RedisServer& master) : Sentinel(master.port(), {}) {}
  /// With further options.
  Sentinel(uint16_t master, const std::vector<std::string>& options) : port_(free_ports(1).front()) {
    const std::string file = folder_ / "sentinel.conf";
    std::ofstream(file) << "port " << port_ << "\nbind 127.0.0.1\ndir " << (folder_ / "")
                        << "\nsentinel monitor main 127.0.0.1 " << master
                        << " 1\nsentinel down-after-milliseconds main 300\n"
                        << "sentinel failover-timeout main 2000\n";
    std::vector<std::string> command = {"redis-server", file, "--sentinel"};
    command.insert(command.end(), options.begin(), options.end());
    process_.start(command, folder_ / "log");
    REQUIRE(eventually([this] { return client_.connect(address()) && client_.ask({"PING"}) == "PONG"; }));
  }
  [[nodiscard]] SocketAddress address() const { return *SocketAddress::parse("127.0.0.1:" + std::to_string(port_)); }
  std::string ask(const std::vector<std::string>& command) { return client_.ask(command); }
  /// It has found the replica, so that it could promote it.
  [[nodiscard]] bool knows_replica() {
    return ask({"SENTINEL", "replicas", "main"}).find("master-link-status ok") != std::string::npos;
  }
  void pause() { process_.signal(SIGSTOP); }
  void go_on() { process_.signal(SIGCONT); }

 private:
  TestFolder folder_;
  uint16_t port_;
  Process process_;
  Client client_;
};

std::vector<std::string> replica_of(const RedisServer& master) {
  return {"--replicaof", "127.0.0.1 " + std::to_string(master.port()), "--repl-diskless-sync-delay", "0"};
}

/// A master, its replica, and a sentinel that knows both.
struct Trio {
  RedisServer master{{"--repl-diskless-sync-delay", "0"}};
  RedisServer replica{replica_of(master)};
  Sentinel sentinel{master};
};

/// A fresh one. It takes a second or more until a replica has synced and a sentinel has seen it, so those of all tests here are
/// begun at once, with the first.
std::unique_ptr<Trio> take_trio() {
  constexpr size_t kTests = 4;
  static std::vector<std::unique_ptr<Trio>> prepared;
  if (prepared.empty()) {
    for (size_t i = 0; i < kTests; ++i) prepared.push_back(std::make_unique<Trio>());
  }
  std::unique_ptr<Trio> taken = std::move(prepared.back());
  prepared.pop_back();
  REQUIRE(eventually([&] { return taken->sentinel.knows_replica(); }, Seconds(30)));
  return taken;
}

RedisOptions options_for(std::vector<SocketAddress> sentinels) {
  return {.mode = RedisOptions::Mode::sentinel,
          .addresses = std::move(sentinels),
          .master_name = "main",
          .timeout = Millis(200)};
}

SocketAddress nobody() { return *SocketAddress::parse("127.0.0.1:" + std::to_string(free_ports(1).front())); }
}  // namespace

TEST_CASE("sentinels tell where the master is, and where it is after a fail-over", "[redis][sentinel]") {
  const auto taken = take_trio();
  RedisServer& master = taken->master;
  RedisServer& replica = taken->replica;
  Sentinel& sentinel = taken->sentinel;
  const bool paused = GENERATE(false, true);
  CAPTURE(paused);

  // One of the sentinels is not there.
  RedisWorld world(options_for({nobody(), sentinel.address()}));
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "before", .ttl = kLong}) == Kind::done);
  CHECK(master.ask({"GET", "k"}) == "before");
  REQUIRE(eventually([&] { return replica.ask({"GET", "k"}) == "before"; }));

  if (paused) {
    master.pause();
  } else {
    master.kill();
  }
  const Command put{.operation = Operation::put, .key = "k", .value = "after", .ttl = kLong};
  world.asker.ask(*world.store, put);
  const MonoTime deadline = MonoClock::now() + Seconds(8);
  REQUIRE(world.driver.until([&] {
    if (world.asker.is(Kind::done) || MonoClock::now() > deadline) return true;
    if (world.asker.outcome) world.asker.ask(*world.store, put);
    return false;
  }));
  CHECK(world.asker.is(Kind::done));
  CHECK(replica.ask({"GET", "k"}) == "after");
  CHECK(replica.ask({"ROLE"}).starts_with("master"));
}

TEST_CASE("sentinels and their master over TLS", "[redis][sentinel]") {
  const std::vector<uint16_t> ports = free_ports(2);
  RedisServer master(TlsFiles::get().options(ports[0]));
  std::vector<std::string> sentinel_options = TlsFiles::get().options(ports[1]);
  sentinel_options.insert(sentinel_options.end(), {"--tls-replication", "yes"});  // it looks at masters over TLS
  const Sentinel sentinel(ports[0], sentinel_options);
  RedisOptions options = options_for({loopback(ports[1])});
  options.tls = TlsFiles::get().context();
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "v", .ttl = kLong}) == Kind::done);
  CHECK(master.ask({"GET", "k"}) == "v");
}

TEST_CASE("a master that was demoted is left", "[redis][sentinel]") {
  const auto taken = take_trio();
  RedisServer& replica = taken->replica;
  Sentinel& sentinel = taken->sentinel;
  RedisWorld world(options_for({sentinel.address()}));
  REQUIRE(world.comes_up());
  // A fail-over by hand; it is refused as long as the sentinel does not know the replica well enough.
  REQUIRE(eventually([&] {
    if (replica.ask({"ROLE"}).starts_with("master")) return true;
    sentinel.ask({"SENTINEL", "FAILOVER", "main"});
    return false;
  }));
  // The old master lives on, as a replica that cuts its clients off or answers READONLY.
  const Command put{.operation = Operation::put, .key = "k", .value = "after", .ttl = kLong};
  world.asker.ask(*world.store, put);
  REQUIRE(world.driver.until([&] {
    if (!world.asker.outcome) return false;
    if (world.asker.is(Kind::done) && replica.ask({"GET", "k"}) == "after") return true;
    world.asker.ask(*world.store, put);
    return false;
  }));
}

TEST_CASE("a replica that sentinels name by mistake is not taken for the master", "[redis][sentinel]") {
  const auto taken = take_trio();
  RedisServer& replica = taken->replica;
  Sentinel& sentinel = taken->sentinel;
  sentinel.pause();  // it sees nothing of what follows
  Sentinel mistaken(replica);
  REQUIRE(eventually([&] {
    return mistaken.ask({"SENTINEL", "get-master-addr-by-name", "main"}) ==
           "127.0.0.1 " + std::to_string(replica.port());
  }));
  RedisWorld world(options_for({mistaken.address()}));
  CHECK(world.run({.operation = Operation::get, .key = "k"}).reason == Reason::store_unavailable);
  CHECK_FALSE(world.store->available());
}

TEST_CASE("sentinels that were away, and name the same master when they are back, are no complaint any more",
          "[redis][sentinel]") {
  RedisServer master;
  Sentinel sentinel(master);
  RedisWorld world(options_for({sentinel.address()}));
  REQUIRE(world.comes_up());
  CHECK(world.health->complaint().empty());
  sentinel.pause();
  REQUIRE(world.driver.until([&] { return !world.health->complaint().empty(); }));
  CHECK(world.store->available());
  sentinel.go_on();
  CHECK(world.driver.until([&] { return world.health->complaint().empty(); }));
}

TEST_CASE("sentinels that are not there, or know no such master: commands fail at once", "[redis][sentinel]") {
  RedisServer master;
  Sentinel sentinel(master);
  RedisOptions options = options_for({sentinel.address(), nobody()});
  options.master_name = "other";
  RedisWorld world(options);
  CHECK(world.run({.operation = Operation::get, .key = "k"}).reason == Reason::store_unavailable);
  world.asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
  REQUIRE(world.driver.until([&] {
    if (world.asker.outcome) world.asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
    return world.asker.outcome.has_value();  // in the turn in which it was asked
  }));
  CHECK_FALSE(world.store->available());
}
