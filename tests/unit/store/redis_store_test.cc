// RedisStore against one real redis-server: what operations do, and what happens when the server goes away.
#include "store/redis_store.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <deque>

#include "redis_asker.h"
#include "redis_server.h"

using namespace sluice;
using namespace sluice::store;
using namespace sluice::store::test;
using Kind = Outcome::Kind;

namespace {
constexpr Millis kLong{60'000};

RedisOptions options_for(const SocketAddress& address) { return {.addresses = {address}, .timeout = Millis(2000)}; }

/// A server that the test plays itself: it says what it likes, whatever it is asked.
class FakeServer {
 public:
  FakeServer() : fd_(socket_for(*SocketAddress::parse("127.0.0.1:0"))) {
    const SocketAddress any = *SocketAddress::parse("127.0.0.1:0");
    REQUIRE(::bind(fd_.get(), any.get(), any.length()) == 0);
    REQUIRE(::listen(fd_.get(), 16) == 0);
    REQUIRE(::fcntl(fd_.get(), F_SETFL, O_NONBLOCK) == 0);
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    REQUIRE(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
    address = SocketAddress::from(reinterpret_cast<const sockaddr*>(&bound), length);
  }
  /// To be called now and then: takes connections, reads what came; `said` follows each read.
  void serve() {
    if (const int fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); fd >= 0) {
      clients_.emplace_back(fd);
      ++accepted;
    }
    for (UniqueFd& client : clients_) {
      char buffer[65536];
      if (::recv(client.get(), buffer, sizeof buffer, 0) <= 0) continue;
      const std::string& answer = accepted == 1 && !greeted_ ? greeting : said;
      greeted_ = true;
      if (::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) client.reset();
    }
  }

  SocketAddress address;
  std::string greeting;
  std::string said;
  int accepted = 0;

 private:
  UniqueFd fd_;
  std::deque<UniqueFd> clients_;
  bool greeted_ = false;
};

std::string good_greeting() {
  std::string text = "*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n";
  for (size_t i = 0; i < kScripts; ++i) text += "$40\r\n" + std::string(40, 'a') + "\r\n";
  return text + "$-1\r\n";
}
}  // namespace

TEST_CASE("every operation does what its line in store.h says", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  const std::string binary("\0\r\n$9\r\n", 8);

  SECTION("get, put, remove") {
    CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::absent);
    CHECK(world.kind({.operation = Operation::put, .key = "k", .value = binary, .ttl = kLong}) == Kind::done);
    CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::found);
    CHECK(world.value() == binary);
    CHECK(std::stoi(server.ask({"PTTL", "k"})) > kLong.count() - 5000);
    CHECK(world.kind({.operation = Operation::remove, .key = "k"}) == Kind::done);
    CHECK(world.kind({.operation = Operation::remove, .key = "k"}) == Kind::absent);
    CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "", .ttl = kLong}) == Kind::done);
    CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::found);
    CHECK(world.value().empty());
  }
  SECTION("touch begins the time to live anew, and revives nothing") {
    CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "v", .ttl = Millis(5000)}) == Kind::done);
    CHECK(world.kind({.operation = Operation::touch, .key = "k", .ttl = kLong}) == Kind::found);
    CHECK(world.value() == "v");
    CHECK(std::stoi(server.ask({"PTTL", "k"})) > 50'000);
    CHECK(world.kind({.operation = Operation::remove, .key = "k"}) == Kind::done);
    CHECK(world.kind({.operation = Operation::touch, .key = "k", .ttl = kLong}) == Kind::absent);
    CHECK(server.ask({"EXISTS", "k"}) == "0");
  }
  SECTION("put_if_absent tells who was first") {
    CHECK(world.kind({.operation = Operation::put_if_absent, .key = "k", .value = "first", .ttl = kLong}) ==
          Kind::done);
    CHECK(world.kind({.operation = Operation::put_if_absent, .key = "k", .value = "later", .ttl = kLong}) ==
          Kind::found);
    CHECK(world.value() == "first");
    CHECK(server.ask({"GET", "k"}) == "first");
    CHECK(std::stoi(server.ask({"PTTL", "k"})) > 50'000);
  }
  SECTION("replace_if and remove_if compare the beginning") {
    const Command replace{
        .operation = Operation::replace_if, .key = "k", .value = "token2 b", .expected = "token1", .ttl = kLong};
    CHECK(world.kind(replace) == Kind::absent);
    CHECK(server.ask({"EXISTS", "k"}) == "0");
    CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "token1 a", .ttl = Millis(5000)}) ==
          Kind::done);
    CHECK(world.kind(replace) == Kind::done);
    CHECK(server.ask({"GET", "k"}) == "token2 b");
    CHECK(std::stoi(server.ask({"PTTL", "k"})) > 50'000);
    CHECK(world.kind(replace) == Kind::found);
    CHECK(world.value() == "token2 b");
    CHECK(world.kind({.operation = Operation::remove_if, .key = "k", .expected = "token1"}) == Kind::found);
    CHECK(world.value() == "token2 b");
    CHECK(world.kind({.operation = Operation::remove_if, .key = "k", .expected = "token2"}) == Kind::done);
    CHECK(world.kind({.operation = Operation::remove_if, .key = "k", .expected = "token2"}) == Kind::absent);
  }
  SECTION("add counts exactly, even where a Lua number would not, and expires after its first addition") {
    const Command add{.operation = Operation::add, .key = "k", .ttl = Millis(5000)};
    CHECK(world.run(add).sum == 1);
    CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong, .amount = -3}).sum == -2);
    CHECK(std::stoi(server.ask({"PTTL", "k"})) <= 5000);
    CHECK(std::stoi(server.ask({"PTTL", "k"})) > 0);
    CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong, .amount = INT64_MAX}).sum == INT64_MAX - 2);
    CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong, .amount = INT64_MAX}).reason ==
          Reason::store_refused);
    CHECK(world.kind({.operation = Operation::put, .key = "word", .value = "x", .ttl = kLong}) == Kind::done);
    CHECK(world.run({.operation = Operation::add, .key = "word", .ttl = kLong}).reason == Reason::store_refused);
  }
  SECTION("a key of another type is refused") {
    CHECK(server.ask({"RPUSH", "list", "x"}) == "1");
    CHECK(world.run({.operation = Operation::get, .key = "list"}).reason == Reason::store_refused);
    CHECK(world.run({.operation = Operation::take, .key = "list"}).reason == Reason::store_refused);
    CHECK(world.kind({.operation = Operation::put, .key = "word", .value = "x", .ttl = kLong}) == Kind::done);
    CHECK(world.run({.operation = Operation::take, .key = "word"}).reason == Reason::store_refused);
  }
  SECTION("what is impossible is refused without asking") {
    const std::string long_key(kMaxKeyBytes + 1, 'k');
    CHECK(world.run({.operation = Operation::get, .key = long_key}).reason == Reason::store_refused);
    CHECK(world.store->figures().commands == 0);
    CHECK(world.store->figures().refused == 1);
  }
}

TEST_CASE("a time to live is exact to the millisecond", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  const auto server_ms = [&] {
    const std::string time = server.ask({"TIME"});  // seconds and microseconds
    return std::stoll(time) * 1000 + std::stoll(time.substr(time.find(' '))) / 1000;
  };
  constexpr Millis kOdd{61'357};

  SECTION("whatever began it") {
    const Operation operation = GENERATE(Operation::put, Operation::put_if_absent, Operation::touch,
                                         Operation::replace_if, Operation::add, Operation::take);
    CAPTURE(static_cast<int>(operation));
    const bool needs_it = operation == Operation::touch || operation == Operation::replace_if;
    if (needs_it) REQUIRE(server.ask({"SET", "k", "v"}) == "OK");
    // One unit in kOdd: that is how long a bucket that lacks one is worth remembering.
    const Command command{
        .operation = operation, .key = "k", .value = "v", .ttl = kOdd, .rate = {.period = Micros(kOdd)}};
    const int64_t before = server_ms();
    const Kind kind = world.kind(command);
    const int64_t after = server_ms();
    CHECK(kind == (operation == Operation::touch ? Kind::found : Kind::done));
    const int64_t ends = std::stoll(server.ask({"PEXPIRETIME", "k"}));
    CHECK(ends >= before + kOdd.count());
    CHECK(ends <= after + kOdd.count());
  }
  SECTION("the value is there until then, and not after") {
    const auto now_ms = [] {
      return std::chrono::duration_cast<Millis>(std::chrono::system_clock::now().time_since_epoch()).count();
    };
    REQUIRE(world.kind({.operation = Operation::put, .key = "k", .value = "v", .ttl = Millis(357)}) == Kind::done);
    const int64_t ends = std::stoll(server.ask({"PEXPIRETIME", "k"}));
    constexpr int64_t kSlack = 10;
    size_t found = 0;
    for (;;) {
      const int64_t before = now_ms();
      const Kind kind = world.kind({.operation = Operation::get, .key = "k"});
      const int64_t after = now_ms();
      if (kind == Kind::found) {
        ++found;
        REQUIRE(before <= ends + kSlack);
      } else {
        REQUIRE(kind == Kind::absent);
        REQUIRE(after >= ends - kSlack);
        break;
      }
    }
    CHECK(found > 0);
  }
}

TEST_CASE("take lets the burst through, then one unit each interval", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  // Three in an hour: what comes back while the test runs is less than one unit.
  const Command take{
      .operation = Operation::take, .key = "k", .rate = {.units = 3, .period = Micros(3'600'000'000), .burst = 5}};
  for (uint32_t left = 5; left-- > 0;) {
    const Outcome outcome = world.run(take);
    CHECK(outcome.kind == Kind::done);
    CHECK(outcome.remaining == left);
    CHECK(outcome.retry_after == Micros(0));
    CHECK(outcome.reset_after <= (5 - left) * Micros(1'200'000'000));
    CHECK(outcome.reset_after > (5 - left) * Micros(1'200'000'000) - Seconds(30));
  }
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = world.run(take);
    CHECK(outcome.kind == Kind::refused);
    CHECK(outcome.remaining == 0);
    CHECK(outcome.retry_after <= Micros(1'200'000'000));
    CHECK(outcome.retry_after > Micros(1'200'000'000) - Seconds(30));
  }
  CHECK(std::stol(server.ask({"PTTL", "k"})) <= 6'000'000);
  CHECK(std::stol(server.ask({"PTTL", "k"})) > 5'900'000);

  // As if the last one had been 1,200.000001 s ago: exactly one unit is there again; a microsecond less, and none is.
  const auto as_of = [&](int64_t micros_ago) {
    const std::string script =
        "local t = redis.call('TIME') local now = t[1] * 1000000 + t[2] "
        "return redis.call('SET', 'k', string.format('%.0f %.0f', 5 * 3600000000, now - ARGV[1]))";
    CHECK(server.ask({"EVAL", script, "0", std::to_string(micros_ago)}) == "OK");
  };
  as_of(1'200'000'000);
  CHECK(world.run(take).kind == Kind::done);
  CHECK(world.run(take).kind == Kind::refused);
  as_of(1'199'000'000);
  CHECK(world.run(take).kind == Kind::refused);
  as_of(-60'000'000);  // the server's clock went back a minute: nothing comes back, and nothing is lost
  CHECK(world.run(take).retry_after == Micros(1'200'000'000));
  as_of(0);
  const Command lowered{
      .operation = Operation::take, .key = "k", .rate = {.units = 3, .period = Micros(3'600'000'000), .burst = 2}};
  CHECK(world.run(lowered).kind == Kind::refused);
  CHECK(world.asker.outcome->retry_after <= Micros(1'200'000'000));
  as_of(100'000'000'000'000);
  CHECK(world.run(take).remaining == 4);
}

TEST_CASE("a rate with a fraction of a microsecond between units does not drift", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  // 700,000 a second: 1.43 us each.
  const Command take{.operation = Operation::take, .key = "k", .rate = {.units = 700'000, .burst = 1'000'000'000}};
  const Outcome outcome = world.run(take);
  CHECK(outcome.remaining == 999'999'999);
  CHECK(outcome.reset_after == Micros(2));
}

TEST_CASE("all commands of a turn leave in one write, and are answered in order", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  const uint64_t writes = world.store->figures().writes;
  std::deque<Asker> askers(1000);
  int next = 0;
  for (Asker& asker : askers) {
    const std::string number = std::to_string(next++);
    asker.ask(*world.store, {.operation = Operation::put_if_absent, .key = "k", .value = number, .ttl = kLong});
  }
  CHECK(world.store->figures().in_flight == 1000);
  REQUIRE(world.driver.until([&] { return askers.back().outcome.has_value(); }));
  CHECK(askers.front().is(Kind::done));
  for (size_t i = 1; i < askers.size(); ++i) REQUIRE((askers[i].is(Kind::found) && askers[i].value == "0"));
  CHECK(world.store->figures().writes == writes + 1);
  CHECK(world.store->figures().commands == 1000);
  CHECK(world.store->figures().in_flight == 0);
}

TEST_CASE("turns take the connections in turn", "[redis]") {
  RedisServer server;
  RedisOptions options = options_for(server.address());
  options.connections = 3;
  RedisWorld world(options);
  REQUIRE(world.driver.until([&] {
    const std::string list = server.ask({"CLIENT", "LIST"});
    size_t found = 0;
    for (size_t at = list.find("name=sluice"); at != std::string::npos; at = list.find("name=sluice", at + 1)) ++found;
    return found == 3 && world.store->available();
  }));
  CHECK(world.kind({.operation = Operation::get, .key = "warm"}) == Kind::absent);
  for (int i = 0; i < 6; ++i) CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::absent);
  const std::string list = server.ask({"CLIENT", "LIST"});
  size_t used = 0;
  for (size_t at = list.find("cmd=get"); at != std::string::npos; at = list.find("cmd=get", at + 1)) ++used;
  CHECK(used == 3);
}

TEST_CASE("values of the largest size go there and come back", "[redis]") {
  RedisServer server;
  RedisOptions options = options_for(server.address());
  options.timeout = Millis(10'000);
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  std::string large(kMaxValueBytes, 'x');
  for (size_t i = 0; i < large.size(); i += 4093) large[i] = static_cast<char>(i);
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = large, .ttl = kLong}) == Kind::done);
  CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::found);
  CHECK((world.value() == large));
  // One that is larger, which somebody else put there: the reply is refused, not kept in memory, and the store goes on.
  CHECK(server.ask({"SETRANGE", "big", std::to_string(2 * kMaxValueBytes), "x"}) ==
        std::to_string(2 * kMaxValueBytes + 1));
  CHECK(world.kind({.operation = Operation::get, .key = "big"}) == Kind::failed);
  REQUIRE(world.comes_up());
  CHECK(world.kind({.operation = Operation::remove, .key = "k"}) == Kind::done);
}

TEST_CASE("a call that is cancelled or gone hears nothing, and the operation is carried out all the same", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  Asker cancelled;
  cancelled.ask(*world.store, {.operation = Operation::put, .key = "a", .value = "1", .ttl = kLong});
  cancelled.cancel();
  {
    Asker gone;
    gone.ask(*world.store, {.operation = Operation::put, .key = "b", .value = "2", .ttl = kLong});
  }
  world.store->submit({.operation = Operation::put, .key = "c", .value = "3", .ttl = kLong}, nullptr);
  CHECK(world.kind({.operation = Operation::get, .key = "c"}) == Kind::found);
  CHECK(server.ask({"MGET", "a", "b", "c"}) == "1 2 3");
  CHECK(cancelled.answers == 0);
}

TEST_CASE("commands wait for the first connection, and a store that ends answers who waits", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "v", .ttl = kLong}) == Kind::done);
  CHECK(world.run({.operation = Operation::add, .key = "n", .ttl = kLong}).sum == 1);
  server.pause();
  Asker queued, sent;
  sent.ask(*world.store, {.operation = Operation::get, .key = "k"});
  world.driver.turns(2);
  queued.ask(*world.store, {.operation = Operation::get, .key = "k"});
  world.store.reset();
  CHECK(sent.failed(Reason::store_lost));
  CHECK(queued.failed(Reason::store_unavailable));
  world.driver.turns(2);
}

TEST_CASE("a killed server: commands fail at once, and go on within a second of its return, scripts included",
          "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong}).sum == 1);
  server.kill();
  REQUIRE(world.driver.until([&] { return !world.store->available(); }));
  const MonoTime before = MonoClock::now();
  world.asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
  CHECK(world.asker.failed(Reason::store_unavailable));
  CHECK(MonoClock::now() - before < Millis(100));
  // Long enough that the back-off has grown to its longest.
  const MonoTime later = before + Millis(1500);
  REQUIRE(world.driver.until([&] { return MonoClock::now() > later; }));
  server.start();
  const MonoTime back = MonoClock::now();
  REQUIRE(world.comes_up());
  CHECK(MonoClock::now() - back < Seconds(1));
  CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong}).sum == 1);
  CHECK(world.store->figures().reconnects >= 1);
}

TEST_CASE("addresses may come later, and change", "[redis]") {
  RedisServer first, second;
  RedisOptions options = options_for(first.address());
  options.addresses.clear();
  RedisWorld world(options);
  CHECK(world.run({.operation = Operation::get, .key = "k"}).reason == Reason::store_unavailable);
  world.store->set_addresses({first.address()});
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "1", .ttl = kLong}) == Kind::done);
  world.store->set_addresses({});  // nothing is known: nothing changes
  world.store->set_addresses({first.address()});
  CHECK(world.store->available());
  world.store->set_addresses({second.address()});
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "2", .ttl = kLong}) == Kind::done);
  CHECK(first.ask({"GET", "k"}) == "1");
  CHECK(second.ask({"GET", "k"}) == "2");
}

TEST_CASE("commands under way when the server dies fail, each once", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  server.pause();
  std::deque<Asker> askers(100);
  for (Asker& asker : askers) asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
  world.driver.turns(2);
  CHECK(world.store->figures().in_flight == 100);
  server.kill();
  REQUIRE(world.driver.until([&] { return askers.back().outcome.has_value(); }));
  for (const Asker& asker : askers) CHECK((asker.failed(Reason::store_lost) && asker.answers == 1));
  CHECK(world.store->figures().lost == 100);
  CHECK(world.store->figures().in_flight == 0);
}

TEST_CASE("a server that forgot its scripts is told them again", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  CHECK(server.ask({"SCRIPT", "FLUSH"}) == "OK");
  std::deque<Asker> askers(3);
  for (Asker& asker : askers) asker.ask(*world.store, {.operation = Operation::add, .key = "k", .ttl = kLong});
  REQUIRE(world.driver.until([&] { return askers.back().outcome.has_value(); }));
  CHECK(askers[0].outcome->sum == 1);
  CHECK(askers[2].outcome->sum == 3);
  const uint64_t reloads = world.store->figures().script_reloads;
  CHECK(reloads == 3);
  CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong}).sum == 4);
  CHECK(world.store->figures().script_reloads == reloads);
}

TEST_CASE("a paused server: deadlines answer, then failures come at once; it goes on when the server does", "[redis]") {
  RedisServer server;
  RedisOptions options = options_for(server.address());
  options.timeout = Millis(50);
  options.connections = 1;  // one that was never up yet would be waited for
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  server.pause();
  const MonoTime asked = MonoClock::now();
  CHECK(world.run({.operation = Operation::get, .key = "k"}).reason == Reason::store_timeout);
  CHECK(MonoClock::now() - asked >= Millis(50));
  CHECK(MonoClock::now() - asked < Millis(500));
  // What fell silent is given up.
  REQUIRE(world.driver.until([&] {
    if (world.asker.outcome) world.asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
    return !world.store->available();
  }));
  Asker last;  // the other one may still wait
  last.ask(*world.store, {.operation = Operation::get, .key = "k"});
  CHECK(last.failed(Reason::store_unavailable));
  server.resume();
  const MonoTime resumed = MonoClock::now();
  REQUIRE(world.comes_up());
  CHECK(MonoClock::now() - resumed < Seconds(1));
  CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::absent);
}

TEST_CASE("a late reply is taken for its own command, not for the next", "[redis]") {
  RedisServer server;
  RedisOptions options = options_for(server.address());
  options.timeout = Millis(100);  // and as long again before the connection is given up
  options.connections = 1;
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  CHECK(world.kind({.operation = Operation::put, .key = "a", .value = "A", .ttl = kLong}) == Kind::done);
  server.pause();
  CHECK(world.run({.operation = Operation::get, .key = "a"}).reason == Reason::store_timeout);
  Asker next;
  next.ask(*world.store, {.operation = Operation::get, .key = "b"});
  server.resume();
  REQUIRE(world.driver.until([&] { return next.outcome.has_value(); }));
  CHECK(next.is(Kind::absent));
  CHECK(world.store->figures().reconnects == 0);
  CHECK(world.asker.answers == 2);
}

TEST_CASE("the queue is bounded", "[redis]") {
  RedisServer server;
  RedisOptions options = options_for(server.address());
  options.max_in_flight = 10;
  options.max_queued_bytes = 100'000;
  options.connections = 1;
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  std::deque<Asker> askers(11);
  for (Asker& asker : askers) asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
  CHECK(askers.back().failed(Reason::store_full));
  CHECK_FALSE(askers.front().outcome);
  REQUIRE(world.driver.until([&] { return world.store->figures().in_flight == 0; }));
  CHECK(askers[9].is(Kind::absent));

  const std::string half(60'000, 'x');
  askers[0].ask(*world.store, {.operation = Operation::put, .key = "a", .value = half, .ttl = kLong});
  askers[1].ask(*world.store, {.operation = Operation::put, .key = "b", .value = half, .ttl = kLong});
  CHECK(askers[1].failed(Reason::store_full));
  REQUIRE(world.driver.until([&] { return askers[0].outcome.has_value(); }));
  CHECK(askers[0].is(Kind::done));
  const std::string large(200'000, 'x');
  CHECK(world.kind({.operation = Operation::put, .key = "c", .value = large, .ttl = kLong}) == Kind::done);
}

TEST_CASE("a full server says so", "[redis]") {
  RedisServer server({"--maxmemory", "1", "--maxmemory-policy", "noeviction"});
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  CHECK(world.run({.operation = Operation::put, .key = "k", .value = "v", .ttl = kLong}).reason == Reason::store_full);
  CHECK(world.run({.operation = Operation::add, .key = "k", .ttl = kLong}).reason == Reason::store_full);
  CHECK(world.kind({.operation = Operation::get, .key = "k"}) == Kind::absent);
}

TEST_CASE("over a unix socket, in another database", "[redis]") {
  RedisServer server;
  RedisOptions options = options_for(server.unix_address());
  options.db = 3;
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  CHECK(world.kind({.operation = Operation::put, .key = "k", .value = "v", .ttl = kLong}) == Kind::done);
  CHECK(server.ask({"EXISTS", "k"}) == "0");
  CHECK(server.ask({"SELECT", "3"}) == "OK");
  CHECK(server.ask({"EXISTS", "k"}) == "1");
}

TEST_CASE("as a user who may run scripts but not load them", "[redis]") {
  RedisServer server(
      {"--user", "gateway", "on", ">secret", "~s:*", "+@read", "+@write", "+@scripting", "-script", "+time"});
  RedisOptions options = options_for(server.address());
  options.username = "gateway";
  options.password = "secret";
  RedisWorld world(options);
  REQUIRE(world.comes_up());
  CHECK(world.run({.operation = Operation::add, .key = "s:n", .ttl = kLong}).sum == 1);
  CHECK(world.kind({.operation = Operation::take, .key = "s:r"}) == Kind::done);
  CHECK(world.run({.operation = Operation::get, .key = "other"}).reason == Reason::store_refused);
}

TEST_CASE("a wrong password is one line in the log, and is tried again", "[redis]") {
  RedisServer server({"--requirepass", "right"});
  RedisOptions options = options_for(server.address());
  options.password = "wrong";
  RedisWorld world(options);
  REQUIRE(world.driver.until([&] { return server.ask({"AUTH", "right"}) == "OK"; }));
  REQUIRE(world.driver.until([&] {
    const std::string stats = server.ask({"INFO", "stats"});
    return std::stoi(stats.substr(stats.find("total_connections_received:") + 27)) > 8;
  }));
  CHECK_FALSE(world.store->available());
  world.asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
  CHECK(world.asker.failed(Reason::store_unavailable));
  CHECK(world.health->complaint().find("WRONGPASS") != std::string::npos);
  CHECK(world.health->lines() == 1);
  CHECK(server.ask({"CONFIG", "SET", "requirepass", "wrong"}) == "OK");
  REQUIRE(world.comes_up());
  CHECK(world.health->complaint().empty());
}

TEST_CASE("what all workers lose is one loss, and back when the last one has it again", "[redis]") {
  RedisServer server;
  RedisWorld world(options_for(server.address()));
  REQUIRE(world.comes_up());
  CHECK(world.health->available());
  RedisOptions options = world.with_health(options_for(server.address()));
  std::deque<RedisStore> others;
  for (int i = 0; i < 3; ++i) others.emplace_back(world.loop, options);
  CHECK_FALSE(world.health->available());
  REQUIRE(world.driver.until([&] { return world.health->available(); }));
  server.kill();
  REQUIRE(world.driver.until([&] {
    return std::none_of(others.begin(), others.end(), [](const RedisStore& other) { return other.available(); });
  }));
  CHECK_FALSE(world.health->available());
  // How it ended, which connections may see in two ways, and that nobody is there any more: eight connections said so.
  const std::string refused = server.address().to_string() + ": Connection refused";
  REQUIRE(world.driver.until([&] { return world.health->complaint() == refused; }));
  world.driver.turns(1000);
  const uint64_t lines = world.health->lines();
  CHECK(lines <= 3);
  server.start();
  const MonoTime back = MonoClock::now();
  REQUIRE(world.driver.until([&] { return world.health->available(); }));
  CHECK(MonoClock::now() - back < Seconds(1));
  CHECK(world.health->complaint().empty());
  CHECK(world.health->lines() == lines);
}

TEST_CASE("a server that talks nonsense is left alone, with pauses that grow", "[redis]") {
  FakeServer server;
  RedisOptions options = options_for(server.address);
  options.connections = 1;
  SECTION("from the start") {
    server.greeting = server.said = "HTTP/1.1 400 Bad Request\r\n\r\n";
    RedisWorld world(options);
    const MonoTime begin = MonoClock::now();
    REQUIRE(world.driver.until([&] { return server.serve(), server.accepted == 11; }));
    // Ten pauses: 10, 20, 40 ... 320 and then 500 ms, or half of that. Without an end to it they would last 5 s and more.
    CHECK(MonoClock::now() - begin > Millis(1'300));
    CHECK(MonoClock::now() - begin < Millis(4'500));
    CHECK_FALSE(world.store->available());
  }
  SECTION("to the last question of the greeting") {
    server.greeting = good_greeting();
    server.greeting.replace(server.greeting.size() - 5, 5,
                            GENERATE(as<std::string>(), "?\r\n", ":1\r\n", "*2\r\n+a\r\n+b\r\n"));
    RedisWorld world(options);
    REQUIRE(world.driver.until([&] { return server.serve(), server.accepted == 3; }));
    CHECK_FALSE(world.store->available());
    CHECK(world.store->figures().reconnects == 0);  // it has never been ready
  }
  SECTION("as the answer to a command") {
    server.greeting = good_greeting();
    server.said = GENERATE(as<std::string>(), "?\r\n", ":1\r\n", "+OK\r\n+OK\r\n", "*2\r\n+a\r\n+b\r\n", "$-5\r\n");
    CAPTURE(server.said);
    RedisWorld world(options);
    REQUIRE(world.driver.until([&] { return server.serve(), world.store->available(); }));
    world.asker.ask(*world.store, {.operation = Operation::get, .key = "k"});
    REQUIRE(world.driver.until([&] { return server.serve(), world.asker.outcome.has_value(); }));
    CHECK(world.asker.is(Kind::failed));
    CHECK(world.store->figures().reconnects == 1);
    CHECK(world.store->figures().in_flight == 0);
    CHECK_FALSE(world.store->available());
  }
}
