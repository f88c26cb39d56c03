#include "event/resolver.h"

#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <optional>

#include "dns_server.h"

using namespace sluice;
using event::Loop;
using event::Resolver;
using event::Timer;
using event::test::DnsServer;
using Manner = DnsServer::Manner;

namespace {

constexpr Millis kShort{150};
// c-ares 1.18 goes on to the next server in all these cases, and does not remember why.
const std::string kUnreachable = "no DNS server could be reached, or each failed (SERVFAIL) or refused (REFUSED)";

/// A resolver that asks one server of the test, and a way to wait for what it says.
struct World {
  World() : resolver(loop, {.servers = {server.address()}, .timeout = kShort}) {}

  /// Runs the loop until `count` lookups have ended; fails after ten seconds.
  void wait(int count = 1) {
    bool late = false;
    struct End {
      Loop& loop;
      bool& late;
    } end{loop, late};
    Timer deadline(
        loop.timers(),
        [](void* raw) {
          static_cast<End*>(raw)->late = true;
          static_cast<End*>(raw)->loop.stop();
        },
        &end);
    loop.refresh_now();
    deadline.set(loop.now() + Seconds(10));
    while (ended < count && !late) loop.run();
    REQUIRE_FALSE(late);
    ended = 0;
  }
  Resolver::Callback note() {
    return [this](Result<Resolver::Answer> result) {
      text.clear();
      if (result) {
        for (const SocketAddress& address : result->addresses) {
          char ip[INET6_ADDRSTRLEN];
          text += std::string(ip, address.write_ip(ip)) + " ";
        }
        text += std::to_string(result->ttl.count()) + "s";
      } else {
        CHECK(result.error().reason == Reason::upstream_unresolved);
        text = result.error().detail;
      }
      ++ended;
      loop.stop();
    };
  }
  /// "192.0.2.1 192.0.2.2 60s", or the error's text.
  std::string lookup(const std::string& host) {
    resolver.resolve(host, note());
    if (ended == 0) wait();
    ended = 0;
    return text;
  }

  Loop loop;
  DnsServer server{loop};
  Resolver resolver;
  int ended = 0;
  std::string text;
};

/// A file that lives as long as this.
struct TextFile {
  explicit TextFile(const std::string& content) {
    const int fd = ::mkstemp(path.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    write(content);
  }
  ~TextFile() { ::unlink(path.c_str()); }
  void write(const std::string& content) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    REQUIRE(file != nullptr);
    REQUIRE(std::fwrite(content.data(), 1, content.size(), file) == content.size());
    std::fclose(file);
  }
  std::string path = "/tmp/sluice-resolver-XXXXXX";
};

}  // namespace

TEST_CASE("a name becomes all its addresses, sorted and each once, with the shortest TTL") {
  World world;
  world.server.names["users.test"] = {.addresses = {"127.0.0.9", "127.0.0.2", "127.0.0.9"}, .ttl = 30};
  CHECK(world.lookup("users.test") == "127.0.0.2 127.0.0.9 30s");
  CHECK(world.server.asked_for("A users.test") == 1);
  CHECK(world.server.asked_for("AAAA users.test") == 1);
  world.server.names["alias.test"] = {.addresses = {"127.0.0.3"}, .ttl = 90, .alias_of = "users.test", .alias_ttl = 7};
  CHECK(world.lookup("alias.test") == "127.0.0.3 7s");
}

TEST_CASE("an address without a route is left out, unless there is no other") {
  World world;
  // A link-local address means nothing without its link, wherever this runs.
  world.server.names["both.test"] = {.addresses = {"127.0.0.1", "fe80::1"}};
  CHECK(world.lookup("both.test") == "127.0.0.1 60s");
  // With nothing better it stays: the connection's error says more than an empty list.
  world.server.names["six.test"] = {.addresses = {"fe80::1"}};
  CHECK(world.lookup("six.test") == "fe80::1 60s");
}

TEST_CASE("each way to fail has its own words") {
  World world;
  CHECK(world.lookup("nowhere.test") == "DNS knows no such name (NXDOMAIN)");
  world.server.names["empty.test"] = {};
  CHECK(world.lookup("empty.test") == "the name has no address in DNS (neither A nor AAAA)");
  world.server.names["broken.test"] = {.rcode = DnsServer::kServerFailure};
  CHECK(world.lookup("broken.test") == kUnreachable);
  world.server.names["refused.test"] = {.rcode = DnsServer::kRefused};
  CHECK(world.lookup("refused.test") == kUnreachable);
  world.server.names["cut.test"] = {.addresses = {"127.0.0.2", "::1"}, .manner = Manner::cut_short};
  CHECK(world.lookup("cut.test") == "the DNS server's answer is malformed");
}

TEST_CASE("a server that is silent, lies about the question's id or sends garbage is asked twice, then given up") {
  for (const Manner manner : {Manner::silent, Manner::wrong_id, Manner::garbage}) {
    World world;
    world.server.names["slow.test"] = {.addresses = {"127.0.0.2"}, .manner = manner};
    const MonoTime began = MonoClock::now();
    CHECK(world.lookup("slow.test") == "no DNS server answered in time");
    CHECK(world.server.asked_for("A slow.test") == Resolver::kTries);
    CHECK(MonoClock::now() - began >= 2 * kShort);
  }
}

TEST_CASE("an answer that does not fit into a datagram is asked for by TCP") {
  World world;
  world.server.names["long.test"] = {.addresses = {"127.0.0.2"}, .manner = Manner::too_long_for_udp};
  // This server does not listen there.
  CHECK(world.lookup("long.test") == kUnreachable);
}

TEST_CASE("a server that is gone is told apart from one that does not know") {
  World world;
  world.server.stop();
  CHECK(world.lookup("users.test") == kUnreachable);
}

TEST_CASE("many lookups run at once") {
  World world;
  constexpr int kCount = 50;
  for (int i = 0; i < kCount; ++i) {
    const std::string host = "n" + std::to_string(i) + ".test";
    world.server.names[host] = {.addresses = {"127.0.0.2"}};
    world.resolver.resolve(host, world.note());
  }
  world.wait(kCount);
  CHECK(world.text == "127.0.0.2 60s");
  CHECK(world.server.asked.size() == 2 * kCount);
}

TEST_CASE("a resolver that ends calls nobody any more") {
  Loop loop;
  DnsServer server(loop);
  server.names["slow.test"] = {.manner = Manner::silent};
  auto resolver = std::make_unique<Resolver>(loop, Resolver::Options{.servers = {server.address()}, .timeout = kShort});
  resolver->resolve("slow.test", [](const Result<Resolver::Answer>&) { FAIL("called back"); });
  Timer asked(
      loop.timers(), [](void* raw) { static_cast<Loop*>(raw)->stop(); }, &loop);
  asked.set(loop.now() + Millis(50));
  loop.run();
  REQUIRE(server.asked_for("A slow.test") == 1);
  resolver.reset();
  asked.set(loop.now() + 4 * kShort);
  loop.run();
  CHECK(server.asked_for("A slow.test") == 1);
}

TEST_CASE("a callback may ask for the next name") {
  World world;
  world.server.names["one.test"] = {.addresses = {"127.0.0.1"}};
  world.server.names["two.test"] = {.addresses = {"127.0.0.2"}};
  world.resolver.resolve("one.test",
                         [&](const Result<Resolver::Answer>&) { world.resolver.resolve("two.test", world.note()); });
  world.wait();
  CHECK(world.text == "127.0.0.2 60s");
}

TEST_CASE("new options end what is under way and hold from then on") {
  World world;
  world.server.names["slow.test"] = {.manner = Manner::silent};
  world.resolver.resolve("slow.test", world.note());
  DnsServer other(world.loop);
  other.names["slow.test"] = {.addresses = {"127.0.0.7"}};
  world.resolver.configure({.servers = {other.address()}, .timeout = kShort});
  CHECK(world.text == "the DNS settings changed while the name was looked up");
  world.ended = 0;
  CHECK(world.lookup("slow.test") == "127.0.0.7 60s");
}

TEST_CASE("the hosts file is honoured, without a question to the server") {
  const TextFile hosts("127.0.0.42 boxed.test\n");
  ::setenv("CARES_HOSTS", hosts.path.c_str(), 1);
  World world;
  CHECK(world.lookup("boxed.test") == "127.0.0.42 0s");
  CHECK(world.server.asked.empty());
  ::unsetenv("CARES_HOSTS");
}

TEST_CASE("without servers of its own it asks those of resolv.conf, and notices when the file changes") {
  const TextFile conf("nameserver 192.0.2.1\nnameserver 2001:db8::1\n");
  World world;
  Resolver resolver(world.loop, {.timeout = kShort, .resolv_conf = conf.path});
  CHECK(resolver.servers() == "192.0.2.1:53, [2001:db8::1]:53");
  conf.write("# another network\nnameserver 127.0.0.1\n");
  resolver.resolve("n.test", world.note());
  CHECK(resolver.servers() == "127.0.0.1:53");
  CHECK(world.resolver.servers() == world.server.address().to_string());
}
