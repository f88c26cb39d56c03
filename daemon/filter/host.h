// Host: what the plugins of one worker may call, and the pauses that wait to be resumed. One per worker, owned by its Engine,
// worker thread only; outlives its chains and instances.
#pragma once

#include "base/slot_table.h"
#include "base/tick_clock.h"
#include "event/loop.h"
#include "plugins/abi.h"
#include "stats/registry.h"

namespace sluice::filter {

class Chain;

/// The functions of plugins/abi.h; one table for the process.
const sluice_host& host_table();

class Host {
 public:
  Host(event::Loop& loop, stats::Shard& shard) : loop_(loop), shard_(shard) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] event::Loop& loop() { return loop_; }
  [[nodiscard]] stats::Shard& shard() { return shard_; }
  [[nodiscard]] TickClock& ticks() { return ticks_; }

  /// A phase of `chain` may pause: the number by which it is resumed.
  [[nodiscard]] uint64_t make_token(Chain& chain);
  /// From a plugin: remembers the verdict, and at the end of this turn the chain goes on with it. Numbers that lead nowhere
  /// are ignored.
  void resume(uint64_t token, sluice_verdict verdict);
  /// The phase did not pause after all, or the exchange is over.
  void drop_token(uint64_t token);
  /// The verdict of a resume() that came before the phase returned; the token is used up then.
  [[nodiscard]] bool take_early(uint64_t token, sluice_verdict& verdict);

 private:
  struct Pause {
    Host* host;
    Chain* chain;  // nullptr: its exchange is over
    uint64_t token = 0;
    sluice_verdict verdict = SLUICE_CONTINUE;
    bool resumed = false;
  };
  static void run(void* pause);

  event::Loop& loop_;
  stats::Shard& shard_;
  TickClock ticks_;
  SlotTable<Pause> pauses_;
};

}  // namespace sluice::filter
