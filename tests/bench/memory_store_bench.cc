// What 32 shards buy against one lock, when two threads use one memory store at once: operations on random keys, most of
// them get, the others put of 100 bytes; with keys that fit into the caches and with so many that each is a few cache misses.
// Both stores are the same class; one has one shard.
//
// Measured in turn, in many short rounds, and compared within a round, since machines are noisy; the order within a round
// changes. Wall time from the first thread's start to the last one's end, each pinned to a core: what waits for a lock costs
// time and not CPU. So the two cores should have nothing else to do: a measurement in which a thread had to give its core to
// another process is thrown away and made again. What is left of a busy machine favours the shards, since whoever sleeps for
// the lock may find the core taken when it wakes. Then one thread alone, and the cost of one call.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "bench.h"
#include "store/memory_store.h"

namespace {

using namespace sluice;
using namespace sluice::store;

constexpr size_t kOperationsPerThread = 10'000;
constexpr int kRounds = 41;

void pin_to(size_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

using Keys = std::vector<std::string>;

Keys make_keys(uint32_t count) {
  Keys keys;
  for (uint32_t i = 0; i < count; ++i) keys.push_back("session:" + std::to_string(i * 7919u));
  return keys;
}

void ignore(void* owner, const Outcome& outcome) { *static_cast<size_t*>(owner) += outcome.value.size(); }

void work(MemoryStore& store, const Keys& keys, uint64_t seed, uint32_t write_percent) {
  Random random(seed);
  const std::string value(100, 'v');
  size_t bytes = 0;
  Call call(ignore, &bytes);
  for (size_t i = 0; i < kOperationsPerThread; ++i) {
    const std::string& key = keys[random.below(static_cast<uint32_t>(keys.size()))];
    const bool is_write = random.below(100) < write_percent;
    store.submit(
        {.operation = is_write ? Operation::put : Operation::get, .key = key, .value = value, .ttl = Seconds(600)},
        &call);
  }
  bench::keep(bytes);
}

long preemptions() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

struct Measurement {
  double nanoseconds = 0;  // for an operation, whichever thread does it
  bool is_disturbed = false;
};

Measurement measure_once(MemoryStore& store, const Keys& keys, size_t thread_count, uint32_t write_percent) {
  using Clock = std::chrono::steady_clock;
  std::barrier start(static_cast<std::ptrdiff_t>(thread_count));
  std::vector<Clock::time_point> begins(thread_count), ends(thread_count);
  std::atomic<long> disturbances{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < thread_count; ++t) {
    threads.emplace_back([&, t] {
      pin_to(t);
      start.arrive_and_wait();
      const long before = preemptions();
      begins[t] = Clock::now();
      work(store, keys, t + 1, write_percent);
      ends[t] = Clock::now();
      disturbances += preemptions() - before;
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double, std::nano> spent =
      *std::max_element(ends.begin(), ends.end()) - *std::min_element(begins.begin(), begins.end());
  return {spent.count() / static_cast<double>(thread_count * kOperationsPerThread), disturbances > 0};
}

double measure(MemoryStore& store, const Keys& keys, size_t thread_count, uint32_t write_percent, int& disturbed) {
  constexpr int kTries = 8;
  for (int attempt = 1;; ++attempt) {
    const Measurement measurement = measure_once(store, keys, thread_count, write_percent);
    if (!measurement.is_disturbed || attempt == kTries) return measurement.nanoseconds;
    ++disturbed;
  }
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

void compare(MemoryStore& sharded, MemoryStore& single, const Keys& keys, size_t threads, uint32_t write_percent) {
  std::vector<double> many, one, ratio;
  int disturbed = 0;
  for (int round = 0; round < kRounds; ++round) {
    if (round % 2 == 0) many.push_back(measure(sharded, keys, threads, write_percent, disturbed));
    one.push_back(measure(single, keys, threads, write_percent, disturbed));
    if (round % 2 != 0) many.push_back(measure(sharded, keys, threads, write_percent, disturbed));
    ratio.push_back(one.back() / many.back());
  }
  std::printf("%6zu keys, %zu thread(s), %2u %% writes: ", keys.size(), threads, write_percent);
  std::printf("32 shards %6.1f ns, one lock %6.1f ns: %.2f times (%.2f .. %.2f); %d disturbed\n", quantile(many, 0.5),
              quantile(one, 0.5), quantile(ratio, 0.5), quantile(ratio, 0.25), quantile(ratio, 0.75), disturbed);
}

void compare_stores(uint32_t key_count) {
  const Keys keys = make_keys(key_count);
  MemoryStore sharded({});
  MemoryStore single({.shards = 1});
  for (MemoryStore* store : {&sharded, &single}) {
    for (const std::string& key : keys) {
      store->submit({.operation = Operation::put, .key = key, .value = std::string(100, 'v'), .ttl = Seconds(600)},
                    nullptr);
    }
  }
  for (const size_t threads : {2, 1}) {
    for (const uint32_t write_percent : {10u, 50u}) compare(sharded, single, keys, threads, write_percent);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    std::printf("nanoseconds per operation, medians of %d rounds; ratios within a round, with their quartiles\n",
                kRounds);
    compare_stores(5'000);
    compare_stores(100'000);
  }
  const Keys keys = make_keys(100);
  MemoryStore store({});
  bench::Runner runner(argc, argv);
  size_t bytes = 0;
  Call call(ignore, &bytes);
  uint32_t next = 0;
  const std::string value(100, 'v');
  const auto key = [&]() -> const std::string& { return keys[next = (next + 7) % 100]; };
  const auto run = [&](const char* name, Operation operation) {
    runner.run(name, [&] {
      store.submit({.operation = operation,
                    .key = key(),
                    .value = value,
                    .ttl = Seconds(600),
                    .rate = {.units = 1'000'000, .period = Seconds(1), .burst = 1'000'000}},
                   &call);
    });
  };
  run("put", Operation::put);
  run("get", Operation::get);
  run("touch", Operation::touch);
  for (const std::string& each : keys) store.submit({.operation = Operation::remove, .key = each}, nullptr);
  run("add", Operation::add);
  for (const std::string& each : keys) store.submit({.operation = Operation::remove, .key = each}, nullptr);
  run("take", Operation::take);
  runner.run("siphash13 of a key", [&] { bench::keep(siphash13({1, 2}, bench::hide(std::string_view(key())))); });
}
