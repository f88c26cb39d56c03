#include "store/memory_store.h"

#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace sluice::store {

namespace {

constexpr size_t kSweptPerShard = 1024;

// A buffer for a value on its way to a callback, kept by the thread for the next one. There is more than one when callbacks
// use the store again.
class LentBuffer {
 public:
  LentBuffer() {
    if (spare().empty()) return;
    text = std::move(spare().back());
    spare().pop_back();
  }
  ~LentBuffer() {
    if (text.capacity() <= kKept) spare().push_back(std::move(text));
  }
  LentBuffer(const LentBuffer&) = delete;
  LentBuffer& operator=(const LentBuffer&) = delete;

  std::string text;

 private:
  static constexpr size_t kKept = size_t{64} << 10;
  static std::vector<std::string>& spare() {
    thread_local std::vector<std::string> buffers;
    return buffers;
  }
};

}  // namespace

struct alignas(64) MemoryStore::Shard {
  Shard(size_t limit_bytes, bool evicts) : entries(limit_bytes, evicts) {}
  std::mutex lock;
  MemoryShard entries;
};

MemoryStore::MemoryStore(Options options) : now_(std::move(options.now)) {
  SL_ASSERT(std::has_single_bit(options.shards));
  SL_ASSERT(options.max_bytes / options.shards >= kMinShardBytes);
  for (size_t i = 0; i < options.shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(options.max_bytes / options.shards, options.evict));
  }
}

MemoryStore::~MemoryStore() = default;

void MemoryStore::submit(const Command& command, Call* call) {
  const uint64_t hash = siphash13(hash_key_, command.key);
  const MonoTime now = now_();
  Shard& shard = *shards_[(hash >> 32) & (shards_.size() - 1)];
  LentBuffer found;
  Outcome outcome;
  {
    const std::lock_guard guard(shard.lock);
    outcome = shard.entries.carry_out(command, static_cast<uint32_t>(hash), now, found.text);
  }
  if (call != nullptr) call->answer(outcome);
}

bool MemoryStore::sweep() {
  const MonoTime now = now_();
  bool more = false;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const std::lock_guard guard(shard->lock);
    more = shard->entries.sweep(now, kSweptPerShard) || more;
  }
  return more;
}

void MemoryStore::set_max_bytes(uint64_t max_bytes) {
  SL_ASSERT(max_bytes / shards_.size() >= kMinShardBytes);
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const std::lock_guard guard(shard->lock);
    shard->entries.set_limit(max_bytes / shards_.size());
  }
}

void MemoryStore::set_evict(bool evict) {
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const std::lock_guard guard(shard->lock);
    shard->entries.set_evicts(evict);
  }
}

MemoryFigures MemoryStore::figures() const {
  MemoryFigures sum;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const std::lock_guard guard(shard->lock);
    sum.add(shard->entries.figures());
  }
  return sum;
}

}  // namespace sluice::store
