// Watchdog: knows whether every worker's loop still turns. Once a period it posts a letter to each worker, whose reading is
// the answer: a loop without work does not turn by itself. Who has not answered for `patience` is stuck: logged with its
// stack, counted, and told again when it turns on. Made on the control thread once the workers run, and destroyed there
// before they are stopped.
#pragma once

#include <pthread.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "event/loop.h"
#include "stats/registry.h"

namespace sluice::worker {

class Watchdog {
 public:
  struct Watched {
    event::Loop* loop;
    pthread_t thread;
    std::string name;
  };
  struct Options {
    Millis period{1'000};
    Millis patience{5'000};
  };
  /// `on_all_turn` is called once a period in which every worker answered.
  Watchdog(event::Loop& control, const std::vector<Watched>& watched, stats::Registry& registry, Options options,
           std::function<void()> on_all_turn);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  struct Beat {
    Watched worker;
    // Shared with the letter, which may outlive us.
    std::shared_ptr<std::atomic<bool>> answered = std::make_shared<std::atomic<bool>>(true);
    // Counted in periods of ours rather than by the clock: a machine that slept has not been stuck.
    unsigned missed = 0;
    bool reported = false;
  };

  void tick();
  [[nodiscard]] bool has_answered(Beat& beat);
  void report(Beat& beat);
  [[nodiscard]] Millis silence(const Beat& beat) const { return options_.period * beat.missed; }

  event::Loop& control_;
  std::vector<Beat> beats_;
  stats::Shard& shard_;
  stats::SeriesId stalls_;
  Options options_;
  std::function<void()> on_all_turn_;
  event::Timer timer_;
};

}  // namespace sluice::worker
