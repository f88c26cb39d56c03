#include "upstream/discovery.h"

#include <catch2/catch.hpp>
#include <map>
#include <memory>

using namespace sluice;
using event::Resolver;
using snapshot::ClusterSpec;
using snapshot::EndpointSpec;
using upstream::Discovery;

namespace {

/// A Discovery whose clock, wheel and DNS are the test's.
struct World {
  World() {
    discovery.emplace(Discovery::Parts{
        wheel, [this] { return now; },
        [this](const std::string& host, Resolver::Callback callback) {
          asked.push_back(host);
          if (immediate) return callback(Resolver::Answer{{*SocketAddress::parse_ip("127.0.0.1")}, Seconds(60)});
          pending.emplace_back(host, std::move(callback));
        },
        registry, [this](const std::string& host) { changed.push_back(host + " " + addresses(host)); }});
  }

  static ClusterSpec cluster(const std::vector<std::string>& hosts) {
    ClusterSpec spec{.name = "u"};
    spec.endpoints.push_back({.address = *SocketAddress::parse("127.0.0.9:9"), .name = "127.0.0.9:9"});
    for (const std::string& host : hosts) {
      spec.endpoints.push_back({.name = host + ":80", .host = host, .port = 80});
    }
    return spec;
  }
  void watch(const std::vector<std::string>& hosts) {
    const ClusterSpec spec = cluster(hosts);
    discovery->watch(dns, {&spec, 1}, {}, [this] { ++settled; });
  }
  void advance(Micros by) {
    now += by;
    wheel.advance(now);
  }
  /// Answers the lookup that has waited longest.
  void answer(const std::vector<std::string>& ips, Seconds ttl) {
    Resolver::Answer answer{{}, ttl};
    for (const std::string& ip : ips) answer.addresses.push_back(*SocketAddress::parse_ip(ip));
    take()(std::move(answer));
  }
  void fail(const char* why = "no") { take()(Error{Reason::upstream_unresolved, why}); }
  Resolver::Callback take() {
    REQUIRE_FALSE(pending.empty());
    Resolver::Callback callback = std::move(pending.front().second);
    pending.erase(pending.begin());
    return callback;
  }
  [[nodiscard]] std::string addresses(const std::string& host) const {
    std::string text;
    for (const SocketAddress& each : discovery->addresses_of(host)) {
      char ip[INET6_ADDRSTRLEN];
      if (!text.empty()) text += ' ';
      text.append(ip, each.write_ip(ip));
    }
    return text;
  }
  [[nodiscard]] uint64_t figure(stats::Family family, std::string_view host) const {
    const auto id = registry.find(family, {host});
    REQUIRE(id.has_value());
    return registry.value(*id);
  }
  /// How long until the name is looked up again.
  Micros wait_for_lookup() {
    const MonoTime began = now;
    while (pending.empty() && now - began < Seconds(100'000)) advance(Millis(10));
    return now - began;
  }

  MonoTime now{Seconds(1000)};
  event::TimerWheel wheel{now};
  stats::Registry registry{1};
  snapshot::DnsSpec dns;
  std::vector<std::string> asked;
  std::vector<std::pair<std::string, Resolver::Callback>> pending;
  std::vector<std::string> changed;
  int settled = 0;
  bool immediate = false;
  std::optional<Discovery> discovery;
};

bool about(Micros value, Micros expected) { return value >= expected && value <= expected * 11 / 10 + Millis(20); }

}  // namespace

TEST_CASE("a name is looked up when it appears, and again when its TTL is over") {
  World world;
  world.watch({"a.test"});
  CHECK(world.asked == std::vector<std::string>{"a.test"});
  CHECK(world.addresses("a.test").empty());
  CHECK(world.settled == 0);
  world.answer({"127.0.0.1", "127.0.0.2"}, Seconds(30));
  CHECK(world.addresses("a.test") == "127.0.0.1 127.0.0.2");
  CHECK(world.changed == std::vector<std::string>{"a.test 127.0.0.1 127.0.0.2"});
  CHECK(world.settled == 1);
  CHECK(about(world.wait_for_lookup(), Seconds(30)));
  world.answer({"127.0.0.1", "127.0.0.2"}, Seconds(30));
  CHECK(world.changed.size() == 1);  // nothing new
  CHECK(about(world.wait_for_lookup(), Seconds(30)));
  world.answer({"127.0.0.2", "127.0.0.3"}, Seconds(30));
  CHECK(world.changed.back() == "a.test 127.0.0.2 127.0.0.3");
  CHECK(world.settled == 1);
  CHECK(world.figure(stats::Family::dns_lookups, "a.test") == 3);
  CHECK(world.figure(stats::Family::dns_failures, "a.test") == 0);
  CHECK(world.figure(stats::Family::dns_changes, "a.test") == 2);
  CHECK(world.figure(stats::Family::dns_addresses, "a.test") == 2);
}

TEST_CASE("a TTL is kept within its bounds") {
  World world;
  world.watch({"a.test"});
  world.answer({"127.0.0.1"}, Seconds(0));
  CHECK(about(world.wait_for_lookup(), Seconds(1)));
  world.answer({"127.0.0.1"}, Seconds(86'400));
  CHECK(about(world.wait_for_lookup(), Seconds(300)));
}

TEST_CASE("names that appear together are not looked up together for ever") {
  World world;
  std::vector<std::string> hosts;
  for (int i = 0; i < 20; ++i) hosts.push_back("n" + std::to_string(i) + ".test");
  world.watch(hosts);
  for (int i = 0; i < 20; ++i) world.answer({"127.0.0.1"}, Seconds(100));
  world.wait_for_lookup();
  CHECK(world.pending.size() < 10);
  world.advance(Seconds(11));
  CHECK(world.pending.size() == 20);
}

TEST_CASE("while a lookup fails the last addresses stay, and it is tried again with back-off") {
  World world;
  world.watch({"a.test"});
  world.answer({"127.0.0.1"}, Seconds(60));
  world.wait_for_lookup();
  world.fail("gone");
  CHECK(world.addresses("a.test") == "127.0.0.1");
  CHECK(world.discovery->find("a.test")->error == std::string("gone"));
  for (const int seconds : {1, 2, 4, 8, 16, 30, 30}) {
    CHECK(about(world.wait_for_lookup(), Seconds(seconds)));
    world.fail("gone");
  }
  CHECK(world.changed.size() == 1);
  CHECK(world.figure(stats::Family::dns_failures, "a.test") == 8);
  CHECK(world.figure(stats::Family::dns_addresses, "a.test") == 1);
  world.wait_for_lookup();
  world.answer({"127.0.0.1"}, Seconds(60));
  CHECK(world.discovery->find("a.test")->error == std::string());
  CHECK(world.changed.size() == 1);
  CHECK(about(world.wait_for_lookup(), Seconds(60)));
  world.fail("gone");
  CHECK(about(world.wait_for_lookup(), Seconds(1)));  // a new row of failures
}

TEST_CASE("a name that fails at first is settled as well, and is used once it resolves") {
  World world;
  world.watch({"a.test", "b.test"});
  world.fail();
  CHECK(world.settled == 0);
  world.fail();
  CHECK(world.settled == 1);
  CHECK(world.changed.empty());
  CHECK(about(world.wait_for_lookup(), Seconds(1)));
  world.answer({"127.0.0.1"}, Seconds(60));
  CHECK(world.changed.size() == 1);
}

TEST_CASE("nobody waits for a slow name longer than a second") {
  World world;
  world.watch({"a.test"});
  world.advance(Millis(900));
  CHECK(world.settled == 0);
  world.advance(Millis(110));
  CHECK(world.settled == 1);
  world.answer({"127.0.0.1"}, Seconds(60));
  CHECK(world.settled == 1);
  CHECK(world.changed.size() == 1);
}

TEST_CASE("without names, or with known ones only, all is settled at once") {
  World world;
  world.watch({});
  CHECK(world.settled == 1);
  world.watch({"a.test"});
  world.answer({"127.0.0.1"}, Seconds(60));
  CHECK(world.settled == 2);
  world.watch({"a.test"});
  CHECK(world.settled == 3);
}

TEST_CASE("an answer may come before the question returns") {
  World world;
  world.immediate = true;
  world.watch({"a.test", "b.test"});
  CHECK(world.settled == 1);
  CHECK(world.changed.size() == 2);
}

TEST_CASE("a name in two places is looked up once; one that is in no place any more is forgotten") {
  World world;
  const ClusterSpec both[] = {World::cluster({"a.test"}), World::cluster({"a.test", "b.test"})};
  world.discovery->watch(world.dns, both, {}, {});
  CHECK(world.asked == std::vector<std::string>{"a.test", "b.test"});
  world.answer({"127.0.0.1"}, Seconds(60));
  world.watch({"a.test"});
  CHECK(world.asked.size() == 2);  // what is known is not asked anew
  CHECK(world.addresses("a.test") == "127.0.0.1");
  CHECK(world.discovery->find("b.test") == nullptr);
  world.answer({"127.0.0.2"}, Seconds(60));  // b.test's, too late
  CHECK(world.changed.size() == 1);
  world.watch({});
  CHECK(world.figure(stats::Family::dns_addresses, "a.test") == 0);
  world.advance(Seconds(1000));
  CHECK(world.asked.size() == 2);
}

TEST_CASE("an answer to a name that was forgotten and came back is not taken for the new question's") {
  World world;
  world.watch({"a.test"});
  world.watch({});
  world.watch({"a.test"});
  REQUIRE(world.pending.size() == 2);
  world.answer({"127.0.0.1"}, Seconds(60));
  CHECK(world.changed.empty());
  world.answer({"127.0.0.2"}, Seconds(60));
  CHECK(world.addresses("a.test") == "127.0.0.2");
}

TEST_CASE("other servers are asked at once") {
  World world;
  world.watch({"a.test"});
  world.answer({"127.0.0.1"}, Seconds(60));
  world.dns.servers = {*SocketAddress::parse("127.0.0.1:53")};
  world.watch({"a.test"});
  CHECK(world.asked.size() == 2);
  world.answer({"127.0.0.2"}, Seconds(60));
  CHECK(world.addresses("a.test") == "127.0.0.2");
  CHECK(about(world.wait_for_lookup(), Seconds(60)));
}

TEST_CASE("of very many addresses a fixed number is used") {
  World world;
  world.watch({"a.test"});
  std::vector<std::string> ips;
  for (size_t i = 0; i <= Discovery::kMaxAddresses; ++i) ips.push_back("127.0.1." + std::to_string(i));
  world.answer(ips, Seconds(60));
  CHECK(world.discovery->addresses_of("a.test").size() == Discovery::kMaxAddresses);
}

TEST_CASE("a cluster's members are its fixed endpoints, and each address of its names") {
  stats::Registry registry(1);
  ClusterSpec spec = World::cluster({"a.test", "b.test"});
  spec.endpoints[1].weight = 3;
  const std::vector<SocketAddress> known = {*SocketAddress::parse_ip("127.0.0.1"), *SocketAddress::parse_ip("::1")};
  const auto members = upstream::members_of(spec, registry, [&](const std::string& host) {
    return host == "a.test" ? std::span(known) : std::span<const SocketAddress>();
  });
  REQUIRE(members->size() == 3);
  CHECK((*members)[0].name == "127.0.0.9:9");
  CHECK((*members)[0].weight == 1);
  CHECK((*members)[1].name == "127.0.0.1:80");
  CHECK((*members)[1].address.to_string() == "127.0.0.1:80");
  CHECK((*members)[1].weight == 3);
  CHECK((*members)[2].name == "[::1]:80");
  using stats::Family;
  CHECK(registry.find(Family::upstream_requests, {"u", "127.0.0.1:80"}) == (*members)[1].series.requests);
  CHECK(registry.find(Family::upstream_requests, {"u", "[::1]:80"}) == (*members)[2].series.requests);
  for (const upstream::Member& member : *members) CHECK(member.server_name.empty());
  CHECK_FALSE(registry.find(Family::upstream_tls_handshakes, {"u", "[::1]:80"}));
}

TEST_CASE("a member's certificate has the name that is given, else the endpoint's, else its IP address") {
  stats::Registry registry(1);
  ClusterSpec spec = World::cluster({"a.test"});
  for (const char* address : {"[::1]:80", "LocalHost:80"}) {
    spec.endpoints.push_back({.address = *SocketAddress::parse(address), .name = address});
  }
  spec.tls.emplace();
  const SocketAddress known = *SocketAddress::parse_ip("127.0.0.1");
  const auto names = [&] {
    std::vector<std::string> found;
    const auto members = upstream::members_of(spec, registry, [&](const std::string&) { return std::span(&known, 1); });
    for (const upstream::Member& member : *members) found.push_back(member.server_name);
    return found;
  };
  CHECK(names() == std::vector<std::string>{"127.0.0.9", "a.test", "::1", "localhost"});
  CHECK(registry.find(stats::Family::upstream_tls_handshakes, {"u", "[::1]:80"}));
  spec.tls->server_name = "b.test";
  CHECK(names() == std::vector<std::string>(4, "b.test"));
}
