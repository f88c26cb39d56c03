#include "common/bloom.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <random>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

// Keys in an order that is always the same.
class Keys {
 public:
  explicit Keys(uint64_t seed) : random_(seed) {}
  KeyHash next() { return {random_(), random_()}; }

 private:
  std::mt19937_64 random_;
};

template <typename IsMember>
double share_of_strangers(int count, IsMember&& is_member) {
  Keys strangers(99);
  int members = 0;
  for (int i = 0; i < count; ++i) members += is_member(strangers.next()) ? 1 : 0;
  return static_cast<double>(members) / count;
}

// What the process has in memory.
int64_t resident_bytes() {
  int64_t size = 0;
  int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

constexpr RecentKeys::Time kStart{};

}  // namespace

TEST_CASE("a filter's bits and hashes follow from its capacity and its rate") {
  const BloomFilter filter(1'000'000, 0.01);
  CHECK(filter.bits() == 9'585'059);  // n ln(p) / ln(2)^2
  CHECK(filter.hashes() == 7);        // m/n ln(2) = 6.64
  CHECK(BloomFilter(1, 0.5).hashes() <= 32);
}

TEST_CASE("a filter has every key that was added") {
  BloomFilter filter(100'000, 0.01);
  Keys added(1);
  for (int i = 0; i < 100'000; ++i) filter.add(added.next());
  Keys again(1);
  bool all = true;
  for (int i = 0; i < 100'000; ++i) all = all && filter.contains(again.next());
  CHECK(all);
}

TEST_CASE("a full filter takes no more strangers for members than was asked, within 20 %") {
  for (const double rate : {0.05, 0.01, 0.001}) {
    BloomFilter filter(200'000, rate);
    Keys added(1);
    for (int i = 0; i < 200'000; ++i) filter.add(added.next());
    const double measured = share_of_strangers(2'000'000, [&](const KeyHash& key) { return filter.contains(key); });
    INFO("asked " << rate << ", measured " << measured);
    CHECK(measured > 0.8 * rate);
    CHECK(measured < 1.2 * rate);
  }
}

TEST_CASE("a large filter takes memory as keys come, when it is made and when it is cleared") {
  constexpr int64_t kTable = 512 * 1024 * 1024;
  const int64_t before = resident_bytes();
  BloomFilter filter(450'000'000, 0.01);
  REQUIRE(filter.bits() / 8 > kTable);
  const KeyHash key = Keys(1).next();
  filter.add(key);
  filter.clear();
  CHECK_FALSE(filter.contains(key));
  filter.add(key);
  CHECK(filter.contains(key));
  CHECK(resident_bytes() - before < kTable / 2);
}

TEST_CASE("two full generations together keep the rate that was asked, within 20 %") {
  RecentKeys recent(200'000, 0.01, 1h, kStart);
  Keys added(1);
  for (int i = 0; i < 200'000; ++i) recent.add(added.next(), kStart);
  for (int i = 0; i < 200'000; ++i) recent.add(added.next(), kStart + 1h);
  const double measured =
      share_of_strangers(1'000'000, [&](const KeyHash& key) { return recent.may_contain(key, kStart + 1h); });
  INFO(measured);
  CHECK(measured > 0.008);
  CHECK(measured < 0.012);
}

TEST_CASE("a key is remembered for a whole ttl whenever it was added, and forgotten after two") {
  for (const auto added_at : {0min, 1min, 59min, 60min, 61min, 119min, 120min, 500min}) {
    RecentKeys recent(1000, 0.001, 1h, kStart);
    const KeyHash key = Keys(5).next();
    CHECK(recent.add(key, kStart + added_at));
    for (auto passed = 0min; passed <= 60min; passed += 1min) {
      INFO("added at " << added_at.count() << ", " << passed.count() << " min ago");
      REQUIRE(recent.may_contain(key, kStart + added_at + passed));
    }
    CHECK_FALSE(recent.may_contain(key, kStart + added_at + 121min));
  }
}

TEST_CASE("a key that was added a moment ago is known") {
  RecentKeys recent(1000, 0.001, 1h, kStart);
  const KeyHash key = Keys(5).next();
  CHECK(recent.add(key, kStart));
  CHECK_FALSE(recent.add(key, kStart + 59min));
  CHECK_FALSE(recent.add(key, kStart + 118min));  // the second time counts as well
}

TEST_CASE("both generations are empty after a long silence") {
  RecentKeys recent(1000, 0.001, 1h, kStart);
  const KeyHash key = Keys(5).next();
  recent.add(key, kStart);
  CHECK(recent.add(key, kStart + 10h));
  CHECK(recent.may_contain(key, kStart + 11h));
}

TEST_CASE("it is complete once it has seen a whole ttl") {
  const RecentKeys recent(1000, 0.001, 1h, kStart);
  CHECK_FALSE(recent.complete(kStart + 59min));
  CHECK(recent.complete(kStart + 1h));
}
