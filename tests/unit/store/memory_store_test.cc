#include "store/memory_store.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "ask.h"
#include "store/series.h"

using namespace sluice;
using namespace sluice::store;
using Kind = Outcome::Kind;

namespace {

/// A store whose time stands still until it is told otherwise.
struct World {
  explicit World(uint64_t max_bytes = 256u << 20, size_t shards = MemoryStore::kShards)
      : store({.max_bytes = max_bytes, .now = [this] { return now.load(); }, .shards = shards}) {}

  Answer operator()(const Command& command) { return ask(store, command); }
  void wait(Micros time) { now = now.load() + time; }

  std::atomic<MonoTime> now{MonoTime(Seconds(1'000'000))};
  MemoryStore store;
};

std::string key_of(size_t i) { return "key-" + std::to_string(i); }

}  // namespace

TEST_CASE("what was put is found until its time is over, to the microsecond") {
  World world;
  CHECK(world(get("k")).is(Kind::absent));
  CHECK(world(put("k", "value", Millis(10))).is(Kind::done));
  world.wait(Micros(9'999));
  const Answer found = world(get("k"));
  CHECK(found.is(Kind::found));
  CHECK(found.value == "value");
  world.wait(Micros(1));
  CHECK(world(get("k")).is(Kind::absent));
}

TEST_CASE("keys and values are any bytes, and an empty value is a value") {
  World world;
  const std::string zero("\0\xff\r\n", 4);
  world(put(zero, zero));
  world(put(zero.substr(0, 1), ""));
  CHECK(world(get(zero)).value == zero);
  const Answer empty = world(get(zero.substr(0, 1)));
  CHECK(empty.is(Kind::found));
  CHECK(empty.value.empty());
}

TEST_CASE("put replaces the value and the time, shorter or longer") {
  World world;
  for (const Millis ttl : {Millis(5'000), Millis(100), Millis(50'000)}) {
    for (const char* value : {"a", "a much longer value than the one before it was", "b"}) {
      world(put("k", value, ttl));
      world.wait(ttl - Millis(1));
      CHECK(world(get("k")).value == value);
    }
    world.wait(Millis(1));
    CHECK(world(get("k")).is(Kind::absent));
  }
}

TEST_CASE("get does not prolong, touch does, and neither revives") {
  World world;
  world(put("k", "v", Millis(100)));
  world.wait(Millis(60));
  CHECK(world(get("k")).is(Kind::found));
  CHECK(world(touch("k", Millis(100))).value == "v");
  world.wait(Millis(60));
  CHECK(world(touch("k", Millis(100))).value == "v");
  world.wait(Millis(100));
  CHECK(world(touch("k", Millis(100))).is(Kind::absent));
  CHECK(world(get("k")).is(Kind::absent));
  world(put("k", "v"));
  world(remove_key("k"));
  CHECK(world(touch("k", Millis(100))).is(Kind::absent));
  CHECK(world(get("k")).is(Kind::absent));
}

TEST_CASE("touch may also shorten what is left") {
  World world;
  world(put("k", "v", Seconds(3600)));
  world(touch("k", Millis(5)));
  world.wait(Millis(5));
  CHECK(world(get("k")).is(Kind::absent));
}

TEST_CASE("put_if_absent lets the first one win and tells the others who it was") {
  World world;
  CHECK(world(put_if_absent("k", "first", Millis(100))).is(Kind::done));
  const Answer second = world(put_if_absent("k", "second", Seconds(60)));
  CHECK(second.is(Kind::found));
  CHECK(second.value == "first");
  world.wait(Millis(100));
  CHECK(world(put_if_absent("k", "third")).is(Kind::done));
  CHECK(world(get("k")).value == "third");
}

TEST_CASE("replace_if and remove_if compare the beginning of the value") {
  World world;
  CHECK(world(replace_key_if("k", "", "new")).is(Kind::absent));
  CHECK(world(remove_key_if("k", "")).is(Kind::absent));
  CHECK(world(get("k")).is(Kind::absent));
  world(put("k", "owner-1 running", Millis(100)));
  const Answer refused = world(replace_key_if("k", "owner-2", "stolen"));
  CHECK(refused.is(Kind::found));
  CHECK(refused.value == "owner-1 running");
  CHECK(world(replace_key_if("k", "owner-1 running!", "stolen")).is(Kind::found));
  CHECK(world(remove_key_if("k", "owner-2")).value == "owner-1 running");
  CHECK(world(get("k")).value == "owner-1 running");
  CHECK(world(replace_key_if("k", "owner-1", "owner-1 done", Seconds(1))).is(Kind::done));
  world.wait(Millis(999));
  CHECK(world(get("k")).value == "owner-1 done");
  CHECK(world(remove_key_if("k", "owner-1")).is(Kind::done));
  CHECK(world(get("k")).is(Kind::absent));
}

TEST_CASE("a failed replace_if does not prolong") {
  World world;
  world(put("k", "a", Millis(100)));
  world(replace_key_if("k", "b", "c", Seconds(60)));
  world.wait(Millis(100));
  CHECK(world(get("k")).is(Kind::absent));
}

TEST_CASE("remove tells whether there was something") {
  World world;
  world(put("k", "v", Millis(10)));
  CHECK(world(remove_key("k")).is(Kind::done));
  CHECK(world(remove_key("k")).is(Kind::absent));
  world(put("k", "v", Millis(10)));
  world.wait(Millis(10));
  CHECK(world(remove_key("k")).is(Kind::absent));
}

TEST_CASE("add counts from 0, and its time from the first addition") {
  World world;
  CHECK(world(add("n", 5, Millis(100))).outcome.sum == 5);
  world.wait(Millis(60));
  CHECK(world(add("n", -7, Millis(100))).outcome.sum == -2);
  CHECK(world(get("n")).value == "-2");
  CHECK(world(add("n", 1'000'000'000'000'000'000, Millis(100))).outcome.sum == 999'999'999'999'999'998);
  world.wait(Millis(40));
  CHECK(world(add("n", 1, Millis(100))).outcome.sum == 1);
  world(put("n", "41"));
  CHECK(world(add("n", 1)).outcome.sum == 42);
}

TEST_CASE("add to what is no number, or past the last one, is refused and changes nothing") {
  World world;
  world(put("k", "12 apples"));
  const Answer refused = world(add("k", 1));
  CHECK(refused.is(Kind::failed));
  CHECK(refused.outcome.reason == Reason::store_refused);
  CHECK(world(get("k")).value == "12 apples");
  world(put("k", std::to_string(INT64_MAX)));
  CHECK(world(add("k", 1)).outcome.reason == Reason::store_refused);
  CHECK(world(get("k")).value == std::to_string(INT64_MAX));
  CHECK(world(take("k", {})).is(Kind::refused));  // an arrival time, if a late one
  world(put("k", ""));
  CHECK(world(take("k", {})).outcome.reason == Reason::store_refused);
}

TEST_CASE("take lends a burst, then the rate, and keeps a key only as long as it matters") {
  World world;
  constexpr Rate kRate{.units = 10, .period = Seconds(1), .burst = 3};
  for (const uint32_t remaining : {2u, 1u, 0u}) {
    const Answer taken = world(take("ip", kRate));
    CHECK(taken.is(Kind::done));
    CHECK(taken.outcome.remaining == remaining);
    CHECK(taken.outcome.reset_after == Millis(100) * (3 - remaining));
  }
  const Answer refused = world(take("ip", kRate));
  CHECK(refused.is(Kind::refused));
  CHECK(refused.outcome.retry_after == Millis(100));
  CHECK(refused.outcome.reset_after == Millis(300));
  CHECK(world(take("other ip", kRate)).is(Kind::done));
  world.wait(Millis(100));
  CHECK(world(take("ip", kRate)).is(Kind::done));
  CHECK(world(take("ip", kRate)).is(Kind::refused));
  world.wait(Micros(299'999));
  CHECK(world(get("ip")).is(Kind::found));
  world.wait(Micros(1));
  CHECK(world(get("ip")).is(Kind::absent));
  CHECK(world(take("ip", kRate)).outcome.remaining == 2);
}

TEST_CASE("a command that makes no sense is refused") {
  World world;
  const std::string longest(kMaxKeyBytes, 'k');
  const std::string too_long = longest + "k";
  CHECK(world(put(longest, "v")).is(Kind::done));
  CHECK(world(get(longest)).value == "v");
  for (const Command& command :
       {get(""), get(too_long), put("k", "v", Millis(0)), put("k", "v", Millis(-1)), put_if_absent("k", "v", Millis(0)),
        touch(longest, Millis(0)), replace_key_if(longest, "", "x", Millis(0)), add("k", 1, Millis(0)),
        take("k", {.units = 0}), take("k", {.burst = 0}), take("k", {.period = Micros(0)})}) {
    CHECK(world(command).outcome.reason == Reason::store_refused);
  }
  CHECK(world(get("k")).is(Kind::absent));
  CHECK(world(get(longest)).value == "v");
}

TEST_CASE("the longest time to live is no overflow") {
  World world;
  world(put("k", "v", Millis::max()));
  world.wait(Seconds(86'400 * 365));
  world.store.sweep();
  CHECK(world(get("k")).is(Kind::found));
  CHECK(world({.operation = Operation::get, .key = "k", .ttl = Millis::min()}).is(Kind::found));
}

TEST_CASE("nobody needs to hear the outcome") {
  World world;
  world.store.submit(put("k", "v"), nullptr);
  CHECK(world(get("k")).value == "v");
}

TEST_CASE("a callback may use the store again, and its value stays as it is") {
  World world;
  world(put("outer", "the value of the outer key"));
  world(put("inner", "the value of the inner key"));
  struct Nested {
    World& world;
    std::string outer, inner;
  } nested{world, {}, {}};
  Call call(
      [](void* owner, const Outcome& outcome) {
        auto& self = *static_cast<Nested*>(owner);
        self.world(put("outer", "another"));
        self.inner = self.world(get("inner")).value;
        self.world(get("outer"));
        self.outer = outcome.value;
      },
      &nested);
  world.store.submit(get("outer"), &call);
  CHECK(nested.outer == "the value of the outer key");
  CHECK(nested.inner == "the value of the inner key");
}

TEST_CASE("the bound holds at all times, and what was used longest ago goes first") {
  World world(64u << 10, 1);
  const std::string value(100, 'v');
  size_t put_in = 0;
  for (; world.store.figures().evictions == 0; ++put_in) {
    world(put(key_of(put_in), value));
    world(get(key_of(0)));
    REQUIRE(world.store.figures().bytes <= 64u << 10);
    REQUIRE(put_in < 1000);
  }
  CHECK(world.store.figures().bytes > 60u << 10);  // as much as there is room for
  CHECK(world(get(key_of(0))).is(Kind::found));
  CHECK(world(get(key_of(1))).is(Kind::absent));
  CHECK(world(get(key_of(2))).is(Kind::found));
  CHECK(world.store.figures().entries == put_in - 1);
}

TEST_CASE("a store that must not evict refuses what is new, and changes what it has while there is room") {
  World world(64u << 10, 1);
  world.store.set_evict(false);
  const std::string value(100, 'v');
  size_t put_in = 0;
  while (world(put(key_of(put_in), value)).is(Kind::done)) REQUIRE(++put_in < 1000);
  CHECK(world(put(key_of(put_in), value)).outcome.reason == Reason::store_full);
  CHECK(world(put(key_of(0), std::string(5000, 'w'))).outcome.reason == Reason::store_full);
  CHECK(world(get(key_of(0))).value == value);
  CHECK(world(put(key_of(0), std::string(100, 'w'))).is(Kind::done));
  CHECK(world.store.figures().entries == put_in);
  CHECK(world.store.figures().evictions == 0);
  world(remove_key(key_of(1)));
  CHECK(world(put(key_of(put_in), value)).is(Kind::done));
  world.store.set_evict(true);
  CHECK(world(put(key_of(put_in + 1), value)).is(Kind::done));
  CHECK(world.store.figures().evictions == 1);
}

TEST_CASE(
    "a store that must not evict forgets nothing when max_bytes changes, and takes what is new once there is room") {
  World world(63u << 10, 1);
  world.store.set_evict(false);
  const auto fill = [&](size_t from) {
    while (world(put(key_of(from), "v")).is(Kind::done)) ++from;
    return from;
  };
  size_t count = fill(0);
  // The table of 64 KiB is twice as large, and there is no room for it.
  for (const uint64_t max_bytes : {64u << 10, 16u << 10, 63u << 10, 256u << 10, 100u << 10, 17u << 10}) {
    CAPTURE(max_bytes);
    world.store.set_max_bytes(max_bytes);
    for (size_t i = 0; i < count; ++i) REQUIRE(world(get(key_of(i))).is(Kind::found));
    count = fill(count);
    CHECK(world(put(key_of(0), "w")).is(Kind::done));  // takes no more room than before
    CHECK(world(put(key_of(0), std::string(1000, 'w'))).outcome.reason == Reason::store_full);
  }
  CHECK(world.store.figures().evictions == 0);
  CHECK(world.store.figures().entries == count);
  for (size_t i = 0; i < count; ++i) world(remove_key(key_of(i)));
  CHECK(fill(0) > 100);  // all of 17 KiB but what the shard needs for itself
  CHECK(world.store.figures().bytes <= 17u << 10);
}

TEST_CASE("a store that has too much evicts it as soon as it may") {
  World world(63u << 10, 1);
  world.store.set_evict(false);
  for (size_t i = 0; world(put(key_of(i), "v")).is(Kind::done); ++i) {
  }
  world.store.set_max_bytes(32u << 10);
  CHECK(world.store.figures().bytes > 32u << 10);
  world.store.set_evict(true);
  CHECK(world.store.figures().bytes <= 32u << 10);
  CHECK(world.store.figures().bytes > 30u << 10);
}

TEST_CASE("every entry is counted with what malloc adds") {
  World world(1u << 20, 1);
  const uint64_t empty = world.store.figures().bytes;
  for (size_t i = 0; i < 100; ++i) world(put(key_of(i), std::string(i * 7, 'x')));
  uint64_t least = 0;
  for (size_t i = 0; i < 100; ++i) least += 64 + 8 + key_of(i).size() + i * 7;
  const uint64_t used = world.store.figures().bytes - empty;
  CHECK(used >= least);
  CHECK(used <= least + 100 * 16);
  for (size_t i = 0; i < 100; ++i) world(remove_key(key_of(i)));
  CHECK(world.store.figures().bytes == empty);
}

TEST_CASE("a value larger than a shard's share is refused, and what was there stays") {
  World world(1u << 20);  // 32 KiB for each
  world(put("k", "small"));
  const Answer refused = world(put("k", std::string(32u << 10, 'x')));
  CHECK(refused.is(Kind::failed));
  CHECK(refused.outcome.reason == Reason::store_full);
  CHECK(world(replace_key_if("k", "small", std::string(32u << 10, 'x'))).outcome.reason == Reason::store_full);
  CHECK(world(get("k")).value == "small");
  CHECK(world(put("k", std::string(27u << 10, 'x'))).is(Kind::done));
  CHECK(world(get("k")).value.size() == 27u << 10);
  CHECK(world.store.figures().bytes <= 1u << 20);
}

TEST_CASE("no value is larger than the largest one") {
  World world(64u << 20, 1);
  CHECK(world(put("k", std::string(kMaxValueBytes, 'x'))).is(Kind::done));
  CHECK(world(put("k", std::string(kMaxValueBytes + 1, 'x'))).outcome.reason == Reason::store_full);
}

TEST_CASE("max_bytes may change while the store runs; what was used last stays") {
  World world(1u << 20, 1);
  const auto fill = [&] {
    for (size_t i = 0; i < 100'000; ++i) world(put(key_of(i), std::string(40, 'v')));
  };
  fill();
  const uint64_t before = world.store.figures().entries;
  for (const uint64_t max_bytes : {4u << 20, 16u << 20, 7u << 20, 5u << 20, 600u << 10, 32u << 10, 1u << 20}) {
    CAPTURE(max_bytes);
    world.store.set_max_bytes(max_bytes);
    CHECK(world.store.figures().bytes <= max_bytes);
    const uint64_t kept = world.store.figures().entries;
    REQUIRE(kept > 0);
    size_t found = 0;
    for (size_t i = 100'000 - kept; i < 100'000; ++i) found += world(get(key_of(i))).is(Kind::found) ? 1 : 0;
    CHECK(found == kept);
    fill();
    CHECK(world.store.figures().bytes <= max_bytes);
    CHECK(world.store.figures().bytes >= std::min<uint64_t>(max_bytes, 14u << 20) * 9 / 10);
  }
  CHECK(world.store.figures().entries == before);
}

TEST_CASE("memory of expired entries is given back without being asked for") {
  World world;
  const uint64_t empty = world.store.figures().bytes;
  for (const Millis ttl :
       {Millis(1), Millis(900), Millis(63'000), Millis(70'000), Millis(5'000'000), Millis(400'000'000)}) {
    CAPTURE(ttl.count());
    for (size_t i = 0; i < 1000; ++i) world(put(key_of(i), "v", ttl));
    world.wait(ttl - Millis(1));
    while (world.store.sweep()) {
    }
    CHECK(world.store.figures().entries == 1000);
    world.wait(Millis(2'100));
    while (world.store.sweep()) {
    }
    CHECK(world.store.figures().entries == 0);
    CHECK(world.store.figures().bytes == empty);
  }
  CHECK(world.store.figures().expirations == 6000);
}

TEST_CASE("an entry that is touched again and again is not swept") {
  World world;
  world(put("k", "v", Millis(1'500)));
  for (int i = 0; i < 200; ++i) {
    world.wait(Seconds(1));
    world.store.sweep();
    REQUIRE(world(touch("k", Millis(1'500))).is(Kind::found));
  }
  world.wait(Seconds(4));
  world.store.sweep();
  CHECK(world.store.figures().entries == 0);
}

TEST_CASE("an entry whose time was shortened is swept in time") {
  World world;
  world(put("touched", "v", Seconds(3600)));
  world(touch("touched", Millis(10)));
  world(put("replaced", "v", Seconds(3600)));
  world(put("replaced", "w", Millis(10)));
  world.wait(Seconds(3));
  world.store.sweep();
  CHECK(world.store.figures().entries == 0);
}

TEST_CASE("keys with the same hash are told apart") {
  MemoryShard shard(64u << 10);
  const MonoTime now(Seconds(1));
  std::string found;
  for (const char* key : {"a", "b", "c"}) shard.carry_out(put(key, key), 7, now, found);
  shard.carry_out(remove_key("b"), 7, now, found);
  CHECK(shard.carry_out(get("a"), 7, now, found).value == "a");
  CHECK(shard.carry_out(get("b"), 7, now, found).kind == Kind::absent);
  CHECK(shard.carry_out(get("c"), 7, now, found).value == "c");
}

TEST_CASE("what sweep does at once is bounded") {
  World world(256u << 20, 1);
  for (size_t i = 0; i < 10'000; ++i) world(put(key_of(i), "v", Millis(10)));
  world.wait(Seconds(10));
  CHECK(world.store.sweep());
  CHECK(world.store.figures().entries >= 8'900);
  CHECK(world.store.figures().entries < 10'000);
}

TEST_CASE("operations on other keys give expired memory back too") {
  World world(1u << 20, 1);
  for (size_t i = 0; i < 1000; ++i) world(put(key_of(i), "v", Millis(10)));
  world.wait(Seconds(3));
  for (size_t i = 0; i < 1000; ++i) world(put("another " + key_of(i), "v"));
  CHECK(world.store.figures().entries == 1000);
}

TEST_CASE("the figures say what happened, and are shown under the store's name") {
  World world(64u << 10, 1);
  world(put("a", "1", Millis(10)));
  world(get("a"));
  world(touch("a", Millis(10)));
  world(get("b"));
  world.wait(Millis(10));
  world(get("a"));
  world(put("big", std::string(100'000, 'x')));
  world(put("big", std::string(100'000, 'x')));
  world(get(""));
  for (size_t i = 0; i < 1000; ++i) world(put(key_of(i), "v"));
  const MemoryFigures figures = world.store.figures();
  CHECK(figures.operations[static_cast<size_t>(Operation::get)] == 4);
  CHECK(figures.operations[static_cast<size_t>(Operation::put)] == 1003);
  CHECK(figures.hits == 2);
  CHECK(figures.misses == 2);
  CHECK(figures.expirations == 1);
  CHECK(figures.full == 2);
  CHECK(figures.refused == 1);
  CHECK(figures.evictions == 1000 - figures.entries);

  stats::Registry registry(1);
  stats::SeriesHold hold(registry);
  MemorySeries series(hold, registry.control(), "sessions");
  series.show(figures);
  series.show(figures);  // states, and does not add
  const auto shown = [&](stats::Family family, auto... last) {
    const auto id = registry.find(family, {"sessions", last...});
    REQUIRE(id);
    return registry.value(*id);
  };
  CHECK(shown(stats::Family::store_entries) == figures.entries);
  CHECK(shown(stats::Family::store_bytes) == figures.bytes);
  CHECK(shown(stats::Family::store_evictions) == figures.evictions);
  CHECK(shown(stats::Family::store_expirations) == 1);
}

// Each thread counts in keys that all share, claims keys that only one may win, and reads values that must be whole.
TEST_CASE("many threads at once lose nothing and see nothing torn") {
  World world(2u << 20);
  constexpr size_t kThreads = 4;
  constexpr size_t kRounds = 4'000;
  std::atomic<size_t> claims_won{0};
  std::atomic<size_t> torn{0};
  std::atomic<bool> running{true};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < kRounds; ++i) {
        ask(world.store, add(key_of(i % 7), 1, Seconds(3600)));
        claims_won +=
            ask(world.store, put_if_absent("claim-" + key_of(i % 100), "t", Seconds(3600))).is(Kind::done) ? 1 : 0;
        ask(world.store, put("shared-" + key_of(i % 13), std::string(1 + i % 300, static_cast<char>('a' + t))));
        const std::string value = ask(world.store, get("shared-" + key_of((i + t) % 13))).value;
        torn += value.find_first_not_of(value.substr(0, 1)) != std::string::npos ? 1 : 0;
        ask(world.store, put("short-" + key_of(i % 50), value, Millis(1)));
        ask(world.store, take("rate", {.units = 1, .period = Seconds(3600), .burst = 100}));
      }
    });
  }
  threads.emplace_back([&] {
    while (running) {
      world.wait(Millis(1));
      world.store.sweep();
      world.store.set_max_bytes((1 + world.store.figures().entries % 2) << 21);
      if (world.store.figures().bytes > 4u << 20) ++torn;
    }
  });
  for (size_t t = 0; t < kThreads; ++t) threads[t].join();
  running = false;
  threads.back().join();
  CHECK(torn == 0);
  CHECK(claims_won == 100);
  int64_t sum = 0;
  for (size_t i = 0; i < 7; ++i) sum += ask(world.store, add(key_of(i), 0)).outcome.sum;
  CHECK(sum == static_cast<int64_t>(kThreads * kRounds));
  CHECK(world.store.figures().evictions == 0);
  CHECK(world.store.figures().operations[static_cast<size_t>(Operation::take)] == kThreads * kRounds);
}
