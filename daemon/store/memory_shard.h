// MemoryShard: one part of a MemoryStore: a hash table of entries, their order of last use, and a wheel of their deadlines.
// Not locked: MemoryStore has a lock for each. An entry is one block: links, key and value.
//
// Memory: what the shard uses (itself, its table, every entry as large as malloc makes it) is never more than its limit; who
// wants room makes it first, by evicting what was used longest ago, or is refused if that must not be. The table's size follows from the limit and not from the
// entries, so no operation ever pays for growing it.
//
// Deadlines: an entry whose time is over is never seen again, whatever the wheel does. The wheel is there to give memory back:
// it has three levels of 64 slots, of 1 s, 67 s and 72 min, and every operation looks at a few entries that are due. An entry
// whose deadline was moved later stays where it is and is filed again when its slot comes up, so that touch costs one store.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "store/store.h"

namespace sluice::store {

constexpr size_t kOperations = static_cast<size_t>(Operation::add) + 1;

/// What a memory store did since it was made, and what it holds now.
struct MemoryFigures {
  std::array<uint64_t, kOperations> operations{};  // by Operation, failed ones included
  uint64_t hits = 0;                               // get and touch that found something
  uint64_t misses = 0;                             // and that did not
  uint64_t full = 0;                               // failed: store_full
  uint64_t refused = 0;                            // failed: store_refused
  uint64_t evictions = 0;                          // entries that had to make room for others
  uint64_t expirations = 0;                        // entries whose time was over
  uint64_t entries = 0;                            // now, some of them perhaps expired and not yet given back
  uint64_t bytes = 0;                              // now, with all overhead

  void add(const MemoryFigures& other);
};

class MemoryShard {
 public:
  explicit MemoryShard(size_t limit_bytes, bool evicts = true);
  ~MemoryShard();
  MemoryShard(const MemoryShard&) = delete;
  MemoryShard& operator=(const MemoryShard&) = delete;

  /// `hash` is the key's. A value that the outcome has is copied into `found` and viewed there.
  Outcome carry_out(const Command& command, uint32_t hash, MonoTime now, std::string& found);
  /// Gives back at most `budget` entries whose time is over; true if more are due.
  bool sweep(MonoTime now, size_t budget);
  /// Evicts what is too much at once; a shard that must not evict keeps it, and takes nothing new until it is gone. Makes the
  /// table anew if its size would differ: milliseconds for a full shard.
  void set_limit(size_t limit_bytes);
  /// Likewise.
  void set_evicts(bool evicts);
  [[nodiscard]] MemoryFigures figures() const;

 private:
  struct UseTag;
  struct DeadlineTag;
  struct Entry : ListNode<UseTag>, ListNode<DeadlineTag> {
    Entry* next = nullptr;  // in its bucket
    MonoTime deadline;
    uint32_t hash = 0;
    uint32_t value_size = 0;
    uint16_t key_size = 0;

    [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this + 1); }
    [[nodiscard]] std::string_view key() { return {bytes(), key_size}; }
    [[nodiscard]] std::string_view value() { return {bytes() + key_size, value_size}; }
    [[nodiscard]] size_t charge() const { return charge_of(key_size, value_size); }
  };
  static_assert(sizeof(Entry) == 64, "one cache line: there may be millions");
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  using Table = std::unique_ptr<Entry*[], Free>;
  using DeadlineList = IntrusiveList<Entry, DeadlineTag>;
  static constexpr unsigned kLevels = 3;
  static constexpr unsigned kBits = 6;  // of the tick that one level covers
  static constexpr unsigned kSlots = 1u << kBits;

  static size_t charge_of(size_t key_size, size_t value_size);
  static size_t buckets_for(size_t limit_bytes);
  static Table make_table(size_t buckets);
  [[nodiscard]] Entry** link_to(std::string_view key, uint32_t hash);
  [[nodiscard]] Entry* find(std::string_view key, uint32_t hash, MonoTime now);
  Outcome carry_out_on(Entry* entry, const Command& command, uint32_t hash, MonoTime now, std::string& found);
  Outcome put(Entry* entry, const Command& command, uint32_t hash, std::string_view value, MonoTime deadline);
  Outcome add(Entry* entry, const Command& command, uint32_t hash, MonoTime now);
  Outcome take(Entry* entry, const Command& command, uint32_t hash, MonoTime now);
  void move_deadline(Entry& entry, MonoTime deadline);
  void file(Entry& entry);
  void remove(Entry& entry);
  void evict_until(size_t bytes_used);
  Outcome fail(Reason reason);

  size_t limit_;
  bool evicts_;
  size_t used_;
  size_t buckets_;  // a power of two
  Table table_;
  IntrusiveList<Entry, UseTag> by_use_;  // the front was used last
  std::array<std::array<DeadlineList, kSlots>, kLevels> wheel_;
  uint64_t next_tick_ = 0;  // the first that is not swept
  MemoryFigures figures_;   // bytes is in used_
};

}  // namespace sluice::store
