// The gateway's figures. A series is one line of /metrics: a family from the table in families.h and its
// label values. Series are interned on the control thread and known to the request path as a SeriesId, an
// index into the Shard of the worker that counts: one writer per cell, relaxed atomics without a lock prefix,
// no cache line shared between workers. The control thread sums the shards when somebody reads. The Registry
// outlives every worker; a series is never forgotten, so that a reload that keeps a name keeps its figures.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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

  std::array<std::atomic<uint64_t*>, kMaxChunks> chunks_{};
};

class Registry {
 public:
  /// One shard per worker, and one more for the control thread.
  explicit Registry(size_t workers);

  /// Finds or makes the series. `label_values` are the family's, in its order; if the last label is a list,
  /// it may be left out: that gives the run for pick(). Any thread, but locked: not for the hot path. Past 67
  /// million cells: kSink.
  SeriesId intern(Family family, std::span<const std::string_view> label_values);
  SeriesId intern(Family family, std::initializer_list<std::string_view> label_values = {}) {
    return intern(family, std::span(label_values.begin(), label_values.size()));
  }

  /// As intern(), but makes nothing. Any thread.
  [[nodiscard]] std::optional<SeriesId> find(Family family, std::initializer_list<std::string_view> label_values) const;

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
  struct Run {  // one or more series that differ in their last label only
    std::vector<std::string> labels;
    SeriesId first;
  };
  struct Place {  // of a series: its run's key, and how many cells into the run it begins
    std::string run;
    SeriesId offset;
  };
  static Place place_of(const FamilyRow& shape, std::span<const std::string_view> label_values);
  struct FamilySeries {
    std::vector<Run> runs;
    std::unordered_map<std::string, SeriesId> index;
  };
  SeriesId allocate(size_t cells);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::array<FamilySeries, static_cast<size_t>(Family::kCount)> families_;
  size_t next_cell_ = 0;
  bool full_ = false;
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
