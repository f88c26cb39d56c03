// What the layout of counters costs when two workers count at once, each its own. A "request" here is some
// work of about 100 ns and then one step of each of eight counters. The layouts: none (the work alone),
// sharded (each worker's cells in pages of its own: what the gateway does), unpadded (the workers' cells side
// by side, counters[what][worker]), shared (one cell for both, lock prefix). Without the work between, the
// store buffer would hide what a lost cache line costs: the stores of many rounds would leave together.
//
// Measured in turn, round by round, and compared within a round, since machines are noisy; in CPU time per
// thread, so that other processes do not count; each thread pinned to a core. Then the cost of one call in
// one thread.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstdio>
#include <ctime>
#include <thread>
#include <vector>

#include "bench.h"
#include "stats/registry.h"

namespace {

using sluice::stats::Family;
using sluice::stats::Registry;
using sluice::stats::SeriesId;

constexpr size_t kCounters = 8;
constexpr uint64_t kRequests = 1'000'000;
constexpr int kRounds = 9;

struct alignas(64) Cells {
  std::array<std::atomic<uint64_t>, 2 * kCounters> cell{};
};

void pin_to(size_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

double cpu_nanoseconds() {
  timespec ts{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return static_cast<double>(ts.tv_sec) * 1e9 + static_cast<double>(ts.tv_nsec);
}

uint64_t work(uint64_t seed) {
  for (int i = 0; i < 100; ++i) seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed;
}

// CPU nanoseconds per request, the mean of two threads that work at once; `count(thread, i)` steps counter i.
template <typename Count>
double nanoseconds_per_request(const Count& count) {
  std::barrier start(2);
  std::array<double, 2> spent{};
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&, thread] {
      pin_to(thread);
      uint64_t seed = thread;
      start.arrive_and_wait();
      const double begin = cpu_nanoseconds();
      for (uint64_t n = 0; n < kRequests; ++n) {
        sluice::bench::keep(seed = work(seed));
        for (size_t i = 0; i < kCounters; ++i) count(thread, i);
      }
      spent[thread] = cpu_nanoseconds() - begin;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return (spent[0] + spent[1]) / 2 / kRequests;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
  return values[kRounds / 2];
}

class Layouts {
 public:
  explicit Layouts(Registry& registry) : registry_(registry) {
    for (SeriesId& id : ids_) id = registry.intern(Family::downstream_accepted, {std::to_string(&id - ids_.data())});
  }

  void compare() {
    for (int round = 0; round < kRounds; ++round) measure_round();
    std::printf("two threads, %zu counters a request: what counting adds, medians of %d rounds\n", kCounters, kRounds);
    std::printf("%-40s %10.1f ns   1.00\n", "sharded (padded)", median(sharded_));
    std::printf("%-40s %10.1f ns   %.2f\n", "side by side (unpadded)", median(unpadded_), median(unpadded_ratio_));
    std::printf("%-40s %10.1f ns   %.2f\n", "one for both, lock prefix (shared)", median(shared_),
                median(shared_ratio_));
  }

 private:
  void measure_round() {
    const double none = nanoseconds_per_request([](size_t, size_t) {});
    sharded_.push_back(nanoseconds_per_request([&](size_t t, size_t i) { registry_.shard(t).add(ids_[i]); }) - none);
    unpadded_.push_back(nanoseconds_per_request([&](size_t t, size_t i) {
                          auto& cell = cells_.cell[2 * i + t];
                          cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
                        }) -
                        none);
    shared_.push_back(
        nanoseconds_per_request([&](size_t, size_t i) { cells_.cell[i].fetch_add(1, std::memory_order_relaxed); }) -
        none);
    unpadded_ratio_.push_back(unpadded_.back() / sharded_.back());
    shared_ratio_.push_back(shared_.back() / sharded_.back());
  }

  Registry& registry_;
  std::array<SeriesId, kCounters> ids_{};
  Cells cells_;
  std::vector<double> sharded_, unpadded_, shared_, unpadded_ratio_, shared_ratio_;
};

}  // namespace

int main(int argc, char** argv) {
  Registry registry(2);
  if (argc == 1) Layouts(registry).compare();

  const SeriesId counter = registry.intern(Family::access_log_lines);
  const SeriesId histogram = registry.intern(Family::request_duration, {"r"});
  sluice::bench::Runner runner(argc, argv);
  uint64_t micros = 0;
  runner.run("add", [&] { registry.shard(0).add(counter); });
  runner.run("observe", [&] { registry.shard(0).observe(histogram, micros = (micros * 5 + 77) & 0xfffff); });
}
