#include "worker/watchdog.h"

#include <utility>

#include "base/log.h"
#include "worker/thread_stack.h"

namespace sluice::worker {

Watchdog::Watchdog(event::Loop& control, const std::vector<Watched>& watched, stats::Registry& registry,
                   Options options, std::function<void()> on_all_turn)
    : control_(control),
      shard_(registry.control()),
      stalls_(registry.intern(stats::Family::worker_stalls)),
      options_(options),
      on_all_turn_(std::move(on_all_turn)),
      timer_(
          control.timers(), [](void* self) { static_cast<Watchdog*>(self)->tick(); }, this) {
  prepare_thread_stacks();
  for (const Watched& worker : watched) beats_.push_back({worker});
  tick();
}

void Watchdog::tick() {
  bool all = true;
  for (Beat& beat : beats_) {
    if (!has_answered(beat)) {
      all = false;
      continue;
    }
    beat.answered->store(false, std::memory_order_relaxed);
    beat.worker.loop->post([answered = beat.answered] { answered->store(true, std::memory_order_relaxed); });
  }
  if (all && on_all_turn_) on_all_turn_();
  timer_.set(control_.now() + options_.period);
}

bool Watchdog::has_answered(Beat& beat) {
  if (!beat.answered->load(std::memory_order_relaxed)) {
    ++beat.missed;
    if (!beat.reported && silence(beat) >= options_.patience) report(beat);
    return false;
  }
  if (beat.reported) log::warn("{} turns again, after about {} ms", beat.worker.name, silence(beat).count());
  beat.missed = 0;
  beat.reported = false;
  return true;
}

void Watchdog::report(Beat& beat) {
  beat.reported = true;
  shard_.add(stalls_);
  log::error("{} is stuck: its loop has not turned for {} ms", beat.worker.name, silence(beat).count());
  for (const std::string& line : stack_of(beat.worker.thread)) log::error("{}: {}", beat.worker.name, line);
}

}  // namespace sluice::worker
