// MemoryStore: the store of one process, in its memory. One instance, used by all threads at once: 32 shards, each on cache
// lines of its own with a lock of its own; a shard's part is a MemoryShard. An operation's outcome is known at once: the call
// is answered from inside submit(), on the thread that asked and without a lock, so that it may use the store again.
//
// It never takes more than max_bytes, overhead included, but for what malloc loses between blocks: an entry that finds no room
// evicts those of its shard that were used longest ago, unless `evict` is false: then it is refused (store_full), as always one
// that is larger than its shard's share.
// Time is the monotonic clock's, to the microsecond.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "store/memory_shard.h"
#include "store/siphash.h"
#include "store/store.h"

namespace sluice::store {

class MemoryStore final : public Store {
 public:
  static constexpr size_t kShards = 32;
  static constexpr size_t kMinShardBytes = size_t{16} << 10;  // a shard needs 4 KiB for itself
  static constexpr uint64_t kMinBytes = 1u << 20;

  struct Options {
    uint64_t max_bytes = 256u << 20;                 // at least kMinShardBytes for each shard
    bool evict = true;                               // else what finds no room is refused
    std::function<MonoTime()> now = MonoClock::now;  // any thread
    size_t shards = kShards;                         // a power of two; another number for tests and benchmarks only
  };
  explicit MemoryStore(Options options);
  ~MemoryStore() override;

  void submit(const Command& command, Call* call) override;
  [[nodiscard]] bool answers_at_once() const override { return true; }
  [[nodiscard]] bool available() const override { return true; }

  /// A part of the entries whose time is over is given back, with each lock held for some 100 µs at most; true if more are
  /// due. To be called about once a second by any one thread: every operation does a little of this too, but a shard that
  /// nobody uses would keep its memory.
  bool sweep();
  /// Takes effect shard by shard; when it returns, what was too much is evicted, or, if that must not be, stays until its
  /// time is over. One call at a time.
  void set_max_bytes(uint64_t max_bytes);
  void set_evict(bool evict);
  [[nodiscard]] MemoryFigures figures() const;

 private:
  struct Shard;

  const std::function<MonoTime()> now_;
  const HashKey hash_key_ = random_hash_key();
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace sluice::store
