// What every micro-benchmark shares: cases by name, each timed in nanoseconds per call, and a way to run
// exactly one case exactly N times for an instruction count. No library: a loop, a clock and the median.
//
//   bench_parser                             all cases: the median of seven rounds, in ns per call
//   bench_parser --only=NAME --count=N       one case, N calls, untimed: for `valgrind --tool=callgrind`; the
//   difference of
//                                            two counts, divided by the difference in N, is the instructions
//                                            per call
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sluice::bench {

/// Makes the compiler believe that `value` is used, so that the work behind it stays.
template <typename T>
inline void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

/// `value`, of which the compiler knows nothing any more: it cannot prepare the work at compile time.
template <typename T>
inline T hide(T value) {
  asm volatile("" : "+m"(value));
  return value;
}

class Runner {
 public:
  Runner(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view argument = argv[i];
      if (argument.starts_with("--only=")) only_ = argument.substr(7);
      if (argument.starts_with("--count=")) count_ = std::strtoull(argv[i] + 8, nullptr, 10);
    }
  }

  /// Is the case asked for? To spare its preparation.
  [[nodiscard]] bool wants(std::string_view name) const { return only_.empty() || only_ == name; }

  /// Times `call`, which does the work once. Names are unique within a benchmark.
  template <typename F>
  void run(std::string_view name, F&& call) {
    if (!wants(name)) return;
    if (count_ > 0) {
      for (uint64_t i = 0; i < count_; ++i) call();
      return;
    }
    const uint64_t calls = calls_per_round(call);
    std::array<double, 7> rounds;
    for (double& round : rounds) round = nanoseconds(call, calls) / static_cast<double>(calls);
    std::sort(rounds.begin(), rounds.end());
    std::printf("%-40.*s %10.1f ns   (%.1f .. %.1f)\n", static_cast<int>(name.size()), name.data(),
                rounds[rounds.size() / 2], rounds.front(), rounds.back());
  }

 private:
  template <typename F>
  static double nanoseconds(F& call, uint64_t calls) {
    const auto start = std::chrono::steady_clock::now();
    for (uint64_t i = 0; i < calls; ++i) call();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  }
  // Enough calls for a round of about 50 ms.
  template <typename F>
  static uint64_t calls_per_round(F& call) {
    uint64_t calls = 1;
    while (nanoseconds(call, calls) < 5e6) calls *= 2;
    return calls * 10;
  }

  std::string_view only_;
  uint64_t count_ = 0;
};

}  // namespace sluice::bench
