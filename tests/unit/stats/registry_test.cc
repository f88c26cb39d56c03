#include "stats/registry.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

namespace sluice::stats {
namespace {

TEST_CASE("a series is interned once, however often it is asked for") {
  Registry registry(1);
  const SeriesId first = registry.intern(Family::downstream_accepted, {"public"});
  CHECK(first != kSink);
  CHECK(registry.intern(Family::downstream_accepted, {"public"}) == first);
  CHECK(registry.intern(Family::downstream_accepted, {"private"}) != first);
  CHECK(registry.intern(Family::downstream_sent, {"public"}) != first);
}

TEST_CASE("find gives what was interned and makes nothing") {
  Registry registry(1);
  CHECK_FALSE(registry.find(Family::downstream_closed, {"public"}));
  const SeriesId run = registry.intern(Family::downstream_closed, {"public"});
  CHECK(registry.find(Family::downstream_closed, {"public"}) == run);
  CHECK(registry.find(Family::downstream_closed, {"public", "idle_timeout"}) == pick(run, Reason::idle_timeout));
  CHECK_FALSE(registry.find(Family::downstream_closed, {"private"}));
}

TEST_CASE("label values cannot imitate each other") {
  Registry registry(1);
  CHECK(registry.intern(Family::upstream_requests, {"a", "b:c"}) !=
        registry.intern(Family::upstream_requests, {"a:b", "c"}));
  CHECK(registry.intern(Family::upstream_requests, {"", "1:a"}) !=
        registry.intern(Family::upstream_requests, {"1:a", ""}));
}

TEST_CASE("a family whose last label is a list is one run of cells") {
  Registry registry(1);
  const SeriesId run = registry.intern(Family::downstream_closed, {"public"});
  CHECK(registry.intern(Family::downstream_closed, {"public", "idle_timeout"}) == pick(run, Reason::idle_timeout));
  const SeriesId slices = registry.intern(Family::request_slices);
  CHECK(registry.intern(Family::request_slices, {"response"}) == pick(slices, Slice::response));
  CHECK(registry.intern(Family::upstream_retries, {"u", "policy"}) ==
        pick(registry.intern(Family::upstream_retries, {"u"}), RetryKind::policy));
}

TEST_CASE("a value is the sum over the shards") {
  Registry registry(2);
  REQUIRE(registry.shard_count() == 3);
  const SeriesId id = registry.intern(Family::access_log_lines);
  registry.shard(0).add(id);
  registry.shard(1).add(id, 5);
  registry.control().add(id, 10);
  CHECK(registry.value(id) == 16);
}

TEST_CASE("a gauge may go down on another worker than it went up on") {
  Registry registry(2);
  const SeriesId id = registry.intern(Family::requests_in_flight);
  registry.shard(0).step(id, 3);
  registry.shard(1).step(id, -4);
  CHECK(static_cast<int64_t>(registry.value(id)) == -1);
}

TEST_CASE("observations of all shards meet in one histogram") {
  Registry registry(2);
  const SeriesId id = registry.intern(Family::request_duration, {"users"});
  registry.shard(0).observe(id, 100);
  registry.shard(1).observe(id, 100);
  registry.shard(1).observe(id, 7);
  const HistogramSnapshot histogram = registry.histogram(id);
  CHECK(histogram.count() == 3);
  CHECK(histogram.sum == 207);
  CHECK(histogram.buckets[Buckets::index(100)] == 2);
}

TEST_CASE("what is counted into a series that was never interned is shown nowhere") {
  Registry registry(1);
  registry.shard(0).add(SeriesId{});
  registry.shard(0).observe(pick(kSink, Slice::response), 1);
  registry.shard(0).add(pick(kSink, Reason::internal_error));
  const SeriesId id = registry.intern(Family::access_log_lines);
  const SeriesId histogram = registry.intern(Family::request_duration, {"r"});
  CHECK(registry.value(id) == 0);
  CHECK(registry.histogram(histogram).count() == 0);
}

TEST_CASE("no series crosses the border of a chunk, and none overlaps another") {
  Registry registry(1);
  std::set<size_t> taken;
  for (int i = 0; i < 1000; ++i) {  // over four chunks
    const SeriesId id = registry.intern(Family::request_duration, {std::to_string(i)});
    const size_t last = id + HistogramSnapshot::kCells - 1;
    REQUIRE(id / Shard::kChunkCells == last / Shard::kChunkCells);
    const SeriesId single = registry.intern(Family::downstream_accepted, {std::to_string(i)});
    REQUIRE(taken.insert(single).second);
    for (size_t cell = id; cell <= last; ++cell) REQUIRE(taken.insert(cell).second);
  }
}

TEST_CASE("every series is visited once, with its label values in the family's order") {
  Registry registry(1);
  registry.intern(Family::upstream_retries, {"users"});
  registry.intern(Family::downstream_accepted, {"public"});
  registry.intern(Family::access_log_lines);
  std::vector<std::string> seen;
  registry.for_each([&](Family family, auto labels, SeriesId) {
    std::string line(row(family).name);
    for (const std::string_view label : labels) line += " " + std::string(label);
    seen.push_back(line);
  });
  CHECK(seen == std::vector<std::string>{
                    "sluice_downstream_connections_accepted_total public", "sluice_upstream_retries_total users stale",
                    "sluice_upstream_retries_total users refused", "sluice_upstream_retries_total users policy",
                    "sluice_upstream_retries_total users denied_by_budget", "sluice_access_log_lines_total"});
}

// Run under ThreadSanitizer this is the proof that counting, reading and interning may happen at once.
TEST_CASE("workers count while the control thread interns and reads, and nothing is lost") {
  constexpr uint64_t kRounds = 20'000;
  Registry registry(2);
  const SeriesId counter = registry.intern(Family::access_log_lines);
  const SeriesId histogram = registry.intern(Family::request_duration, {"r"});
  std::atomic<SeriesId> late{kSink};
  const auto work = [&](Shard& shard) {
    for (uint64_t i = 0; i < kRounds; ++i) {
      shard.add(counter);
      shard.observe(histogram, i);
      shard.add(late.load(std::memory_order_acquire));
    }
  };
  std::thread first(work, std::ref(registry.shard(0)));
  std::thread second(work, std::ref(registry.shard(1)));
  uint64_t before = 0;
  for (int i = 0; i < 600; ++i) {  // opens new chunks while the workers run
    registry.intern(Family::request_duration, {std::to_string(i)});
    late.store(registry.intern(Family::downstream_accepted, {std::to_string(i)}), std::memory_order_release);
    const uint64_t now = registry.value(counter);
    CHECK(now >= before);
    before = now;
  }
  first.join();
  second.join();
  CHECK(registry.value(counter) == 2 * kRounds);
  CHECK(registry.histogram(histogram).count() == 2 * kRounds);
  CHECK(registry.histogram(histogram).sum == kRounds * (kRounds - 1));
}

// --- series that come and go ---

constexpr MonoTime kStart{Seconds(1000)};
constexpr MonoTime kLater = kStart + Registry::kKeep;

// Forgets all that nobody holds now.
size_t forget_all(Registry& registry) {
  registry.forget_unused(kStart);
  return registry.forget_unused(kLater);
}

size_t count_series(const Registry& registry) {
  size_t count = 0;
  registry.for_each([&](Family, auto, SeriesId) { ++count; });
  return count;
}

TEST_CASE("a series is forgotten when nobody has held it for a while, and no sooner") {
  Registry registry(1);
  auto hold = std::make_unique<SeriesHold>(registry);
  hold->intern(Family::upstream_requests, {"u", "e"});
  CHECK(forget_all(registry) == 0);
  hold.reset();
  CHECK(registry.forget_unused(kStart) == 0);
  CHECK(registry.forget_unused(kLater - Micros(1)) == 0);
  CHECK(registry.find(Family::upstream_requests, {"u", "e"}));
  CHECK(registry.forget_unused(kLater) == 1);
  CHECK_FALSE(registry.find(Family::upstream_requests, {"u", "e"}));
  CHECK(count_series(registry) == 0);
}

TEST_CASE("what was interned for good stays, and so does what another holds too") {
  Registry registry(1);
  SeriesHold other(registry);
  const SeriesId shared = other.intern(Family::requests, {"shared"});
  const SeriesId fixed = registry.intern(Family::requests, {"fixed"});
  {
    SeriesHold hold(registry);
    CHECK(hold.intern(Family::requests, {"shared"}) == shared);
    CHECK(hold.intern(Family::requests, {"fixed"}) == fixed);
    hold.intern(Family::requests, {"alone"});
  }
  registry.shard(0).add(shared, 3);
  registry.shard(0).add(fixed, 4);
  CHECK(forget_all(registry) == 1);
  CHECK(registry.find(Family::requests, {"shared"}) == shared);
  CHECK(registry.find(Family::requests, {"fixed"}) == fixed);
  CHECK(registry.value(shared) == 3);
  CHECK(registry.value(fixed) == 4);
}

TEST_CASE("a name that comes back soon goes on with its figures, and its time begins anew") {
  Registry registry(1);
  const auto count_once = [&] {
    SeriesHold hold(registry);
    const SeriesId id = hold.intern(Family::requests, {"r"});
    registry.shard(0).add(id);
    return id;
  };
  const SeriesId id = count_once();
  registry.forget_unused(kStart);
  CHECK(count_once() == id);
  CHECK(registry.forget_unused(kLater) == 0);
  CHECK(registry.value(id) == 2);
  CHECK(registry.forget_unused(kLater + Registry::kKeep) == 1);
}

TEST_CASE("cells of forgotten series are used again, and are zeroes in every shard") {
  Registry registry(2);
  const SeriesId keeps_the_chunk = registry.intern(Family::access_log_lines);
  auto hold = std::make_unique<SeriesHold>(registry);
  const SeriesId counter = hold->intern(Family::downstream_accepted, {"a"});
  const SeriesId histogram = hold->intern(Family::request_duration, {"a"});
  for (size_t i = 0; i < registry.shard_count(); ++i) {
    registry.shard(i).add(keeps_the_chunk);
    registry.shard(i).add(counter);
    registry.shard(i).observe(histogram, 100);
  }
  hold.reset();
  CHECK(forget_all(registry) == 2);
  CHECK(registry.intern(Family::request_duration, {"b"}) == histogram);
  CHECK(registry.intern(Family::downstream_accepted, {"b"}) == counter);
  CHECK(registry.value(counter) == 0);
  CHECK(registry.histogram(histogram).sum == 0);
  CHECK(registry.histogram(histogram).count() == 0);
  CHECK(registry.value(keeps_the_chunk) == 3);
}

TEST_CASE("chunks that are empty again are used for series of any length, and are zeroes") {
  Registry registry(1);
  constexpr int kMany = 1000;  // histograms: over three chunks
  constexpr int kCells = kMany * static_cast<int>(HistogramSnapshot::kCells);
  struct Filled {
    size_t chunks = 0;
    int unclean = 0;
  };
  const auto fill = [&](Family family, int count) {
    SeriesHold hold(registry);
    Filled filled;
    for (int i = 0; i < count; ++i) {
      const SeriesId id = hold.intern(family, {std::to_string(i)});
      if (registry.value(id) != 0) ++filled.unclean;
      registry.shard(0).add(id);
      filled.chunks = std::max(filled.chunks, id / Shard::kChunkCells + 1);
    }
    return filled;
  };
  const size_t chunks = fill(Family::request_duration, kMany).chunks;
  CHECK(chunks == 4);
  CHECK(forget_all(registry) == kMany);
  const Filled counters = fill(Family::downstream_accepted, kCells / 2);
  CHECK(counters.chunks == chunks);
  CHECK(counters.unclean == 0);
  CHECK(forget_all(registry) == kCells / 2);
  const Filled histograms = fill(Family::request_duration, kMany / 2);
  CHECK(histograms.chunks <= chunks);
  CHECK(histograms.unclean == 0);
}

// Run under ThreadSanitizer this shows that whatever a worker counts before it lets go is there when the cells are zeroed.
TEST_CASE("cells that workers let go of while others are forgotten are zeroes when they are used again") {
  constexpr int kRounds = 1000;
  struct Letter {
    explicit Letter(Registry& registry) : hold(registry) {}
    SeriesHold hold;
    SeriesId counter = kSink;
    SeriesId histogram = kSink;
  };
  struct Mailbox {
    std::mutex mutex;
    std::shared_ptr<const Letter> letter;
    bool over = false;
  };
  Registry registry(2);
  std::array<Mailbox, 2> mailboxes;
  const auto work = [](Shard& shard, Mailbox& mailbox) {
    for (bool over = false; !over;) {
      std::shared_ptr<const Letter> letter;
      {
        const std::lock_guard lock(mailbox.mutex);
        letter = std::move(mailbox.letter);
        over = mailbox.over && letter == nullptr;
      }
      if (letter == nullptr) std::this_thread::yield();
      for (uint64_t i = 0; letter != nullptr && i < 300; ++i) {
        shard.add(letter->counter);
        shard.observe(letter->histogram, i);
      }
    }
  };
  std::thread first(work, std::ref(registry.shard(0)), std::ref(mailboxes[0]));
  std::thread second(work, std::ref(registry.shard(1)), std::ref(mailboxes[1]));
  std::set<SeriesId> used;
  int unclean = 0;
  MonoTime now = kStart;
  for (int round = 0; round < kRounds; ++round) {
    auto letter = std::make_shared<Letter>(registry);
    letter->counter = letter->hold.intern(Family::downstream_accepted, {std::to_string(round)});
    letter->histogram = letter->hold.intern(Family::request_duration, {std::to_string(round)});
    used.insert(letter->counter);
    if (registry.value(letter->counter) != 0 || registry.histogram(letter->histogram).count() != 0) ++unclean;
    for (Mailbox& mailbox : mailboxes) {
      const std::lock_guard lock(mailbox.mutex);
      mailbox.letter = letter;
    }
    letter.reset();
    registry.forget_unused(now);
    registry.forget_unused(now += Registry::kKeep);
    for (Mailbox& mailbox : mailboxes) {
      for (bool taken = false; !taken;) {
        std::this_thread::yield();
        const std::lock_guard lock(mailbox.mutex);
        taken = mailbox.letter == nullptr;
      }
    }
  }
  for (Mailbox& mailbox : mailboxes) {
    const std::lock_guard lock(mailbox.mutex);
    mailbox.over = true;
  }
  first.join();
  second.join();
  CHECK(unclean == 0);
  CHECK(used.size() < kRounds / 2);
  registry.forget_unused(now);
  registry.forget_unused(now + Registry::kKeep);
  CHECK(count_series(registry) == 0);
}

}  // namespace
}  // namespace sluice::stats
