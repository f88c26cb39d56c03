#include "stats/registry.h"

#include <atomic>
#include <catch2/catch.hpp>
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
                    "sluice_upstream_retries_total users policy",
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

}  // namespace
}  // namespace sluice::stats
