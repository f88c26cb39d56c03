// The gateway's figures. A series is one line of /metrics: a family from the table in families.h and its
// label values. Series are interned on the control thread and known to the request path as a SeriesId, an
// index into the Shard of the worker that counts: one writer per cell, relaxed atomics without a lock prefix,
// no cache line shared between workers. The control thread sums the shards when somebody reads. The Registry
// outlives every worker and every SeriesHold.
//
// A series is there for good, or for as long as SeriesHolds hold it and kKeep longer, so that a name that comes back soon
// goes on with its figures. Then it is forgotten, and its cells are zeroed and used again. Why nobody counts into them then:
// who counts on a worker owns, or is owned by, something that holds the series, and lets go of it after its last count. A
// hold lets go by a release; forget_unused() sees no holder by an acquire: every store of a worker happens before the cells
// are zeroed. New holds are taken under the lock only, so a series without one stays so meanwhile. Who gets the cells next
// learns their number from intern(), and a worker learns it by a letter: the zeroes happen before its first count.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "stats/families.h"
#include "stats/histogram.h"

namespace sluice::stats {

using SeriesId = uint32_t;  // index of the series' first cell in every shard

/// What is counted here is never shown. A SeriesId that was not interned yet is this one, and harmless.
constexpr SeriesId kSink = 0;

/// How many cells one series takes.
constexpr size_t cells_of(Kind kind) { return kind == Kind::histogram ? HistogramSnapshot::kCells : 1; }

/// The cell that belongs to `value` in the run that intern() gave for a family whose last label is a list.
constexpr SeriesId pick(SeriesId run, Reason value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, StatusClass value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, ConnectionState value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, TlsSession value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, EarlyData value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, RetryKind value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, PluginPhase value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, StoreOperation value) { return run + static_cast<SeriesId>(value); }
constexpr SeriesId pick(SeriesId run, Slice value) {  // the slices are histograms
  return run + static_cast<SeriesId>(value) * static_cast<SeriesId>(HistogramSnapshot::kCells);
}

/// One thread's cells, in chunks of whole pages of its own. Written by that thread only; read by any.
class alignas(64) Shard {
 public:
  static constexpr unsigned kChunkBits = 15;
  static constexpr size_t kChunkCells = size_t{1} << kChunkBits;
  static constexpr size_t kMaxChunks = 2048;

  Shard() = default;
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  void add(SeriesId id, uint64_t amount = 1) { grow(*cells_at(id), amount); }
  /// Gauges are sums of signed steps over the shards.
  void step(SeriesId id, int64_t amount) { add(id, static_cast<uint64_t>(amount)); }
  /// For figures that one thread alone states, such as the process's memory.
  void set(SeriesId id, uint64_t value) { Cell(*cells_at(id)).store(value, std::memory_order_relaxed); }
  /// A counter to add to very often: add() without the way to its cell. Lives as long as a hold on the series.
  class Counter {
   public:
    void add(uint64_t amount = 1) { grow(*cell_, amount); }

   private:
    friend class Shard;
    uint64_t* cell_ = nullptr;
  };
  [[nodiscard]] Counter counter(SeriesId id) {
    Counter counter;
    counter.cell_ = cells_at(id);
    return counter;
  }
  /// Counts `value` (microseconds) into a histogram series.
  void observe(SeriesId id, uint64_t value) {
    uint64_t* cells = cells_at(id);
    grow(cells[0], value);
    grow(cells[1 + Buckets::index(value)], 1);
  }

 private:
  friend class Registry;
  using Cell = std::atomic_ref<uint64_t>;

  static void grow(uint64_t& cell, uint64_t amount) {
    const Cell atomic(cell);
    atomic.store(atomic.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  // Relaxed: whoever holds an id learned it, by a letter or a lock, after its chunk was there.
  [[nodiscard]] uint64_t* cells_at(SeriesId id) const {
    return chunks_[id >> kChunkBits].load(std::memory_order_relaxed) + id % kChunkCells;
  }
  void map_chunk(size_t index);
  // Of cells that nobody counts into.
  void clear(SeriesId first, size_t cells);
  void clear_chunk(size_t index);

  std::array<std::atomic<uint64_t*>, kMaxChunks> chunks_{};
};

class SeriesHold;

class Registry {
 public:
  /// How long a series outlives its last hold: two scrapes at the usual interval of 15 s.
  static constexpr Seconds kKeep{30};

  /// One shard per worker, and one more for the control thread.
  explicit Registry(size_t workers);
  ~Registry();

  /// Finds or makes the series, which stays for good; what comes and goes is interned by a SeriesHold. `label_values` are the
  /// family's, in its order; if the last label is a list, it may be left out: that gives the run for pick(). Any thread, but
  /// locked: not for the hot path. Past 67 million cells: kSink.
  SeriesId intern(Family family, std::span<const std::string_view> label_values) {
    return intern(family, label_values, nullptr);
  }
  SeriesId intern(Family family, std::initializer_list<std::string_view> label_values = {}) {
    return intern(family, std::span(label_values.begin(), label_values.size()), nullptr);
  }

  /// As intern(), but makes and holds nothing: what it gives is to be used before the next forget_unused(). Any thread.
  [[nodiscard]] std::optional<SeriesId> find(Family family, std::initializer_list<std::string_view> label_values) const;

  /// Forgets what nobody has held for kKeep, as seen by calls of this, and returns how much that was. Control thread, now and
  /// then.
  size_t forget_unused(MonoTime now);

  /// 0 .. workers-1 are the workers'.
  [[nodiscard]] Shard& shard(size_t index) { return *shards_[index]; }
  [[nodiscard]] Shard& control() { return *shards_.back(); }
  [[nodiscard]] size_t shard_count() const { return shards_.size(); }

  /// Sum over the shards now. Any thread. A gauge's is an int64_t in two's complement.
  [[nodiscard]] uint64_t value(SeriesId id) const;
  [[nodiscard]] HistogramSnapshot histogram(SeriesId id) const;

  /// Calls `visit(family, label_values, id)` for every series, grouped by family in the table's order;
  /// `label_values` is a span of string_views. Locked: `visit` must not intern.
  template <typename Visit>
  void for_each(Visit&& visit) const;

 private:
  friend class SeriesHold;
  struct Run {  // one or more series that differ in their last label only
    std::vector<std::string> labels;
    SeriesId first;
    bool for_good = false;
    std::atomic<uint32_t> holders{0};  // grows under the lock only
    std::optional<MonoTime> unused_since;
  };
  struct Place {  // of a series: its run's key, and how many cells into the run it begins
    std::string run;
    SeriesId offset;
  };
  struct FamilySeries {
    std::list<Run> runs;
    std::unordered_map<std::string, std::list<Run>::iterator> index;
  };
  struct Cells {  // of a run
    SeriesId first;
    size_t count;
    [[nodiscard]] size_t chunk() const { return first / Shard::kChunkCells; }
  };
  struct Chunk {
    uint32_t runs = 0;   // that live in it
    bool spare = false;  // all zeroes, and in nobody's list
  };

  static Place place_of(const FamilyRow& shape, std::span<const std::string_view> label_values);
  SeriesId intern(Family family, std::span<const std::string_view> label_values, SeriesHold* hold);
  [[nodiscard]] static bool is_over(Run& run, MonoTime now);
  SeriesId allocate(size_t cells);
  bool open_chunk();
  void reclaim(std::span<const Cells> gone);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::array<FamilySeries, static_cast<size_t>(Family::kCount)> families_;
  std::vector<Chunk> chunks_;
  std::map<size_t, std::vector<SeriesId>> free_;  // runs of zeroed cells between others, by length
  size_t open_chunk_ = 0;                         // new runs are cut from here:
  size_t next_cell_ = 0;
  bool full_ = false;
};

/// Holds series: the registry forgets none of what was interned by it while it lives. Interning is locked, and grows it;
/// letting go is neither, and may happen on any thread.
class SeriesHold {
 public:
  explicit SeriesHold(Registry& registry) : registry_(registry) {}
  ~SeriesHold();
  SeriesHold(const SeriesHold&) = delete;
  SeriesHold& operator=(const SeriesHold&) = delete;

  /// As Registry::intern.
  SeriesId intern(Family family, std::initializer_list<std::string_view> label_values = {}) {
    return registry_.intern(family, std::span(label_values.begin(), label_values.size()), this);
  }

 private:
  friend class Registry;
  Registry& registry_;
  std::vector<Registry::Run*> runs_;
};

template <typename Visit>
void Registry::for_each(Visit&& visit) const {
  const std::lock_guard lock(mutex_);
  std::array<std::string_view, kMaxLabels> values;
  for (size_t f = 0; f < families_.size(); ++f) {
    const auto family = static_cast<Family>(f);
    const FamilyRow& shape = row(family);
    const size_t last_count = shape.last_values.empty() ? 1 : shape.last_values.size();
    for (const Run& run : families_[f].runs) {
      std::copy(run.labels.begin(), run.labels.end(), values.begin());
      for (size_t i = 0; i < last_count; ++i) {
        if (!shape.last_values.empty()) values[shape.label_count - 1u] = shape.last_values[i];
        visit(family, std::span<const std::string_view>(values.data(), shape.label_count),
              run.first + static_cast<SeriesId>(i * cells_of(shape.kind)));
      }
    }
  }
}

}  // namespace sluice::stats
