// The gateway's figures. A Series is one line of /metrics: a family from the table in families.h and its label values. Series
// are interned on the control thread and known to the request path as a SeriesId, an index into the Shard of the worker that
// counts: one writer per cell, relaxed atomics without a lock prefix, no cache line shared between workers. The
// control thread sums the shards when somebody reads.
#pragma once

#include <atomic>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stats/families.h"
#include "stats/histogram.h"

namespace sluice::stats {

using SeriesId = uint32_t;  // index of the series' first cell in every shard

/// One worker's cells. Written by that worker's thread only; read by any.
class alignas(64) Shard {
 public:
  static constexpr size_t kChunkCells = 512;
  static constexpr size_t kMaxChunks = 65536;

  void add(SeriesId id, uint64_t amount = 1) {
    auto& cell = cell_of(id);
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  /// Gauges are sums of signed steps over the shards.
  void step(SeriesId id, int64_t amount) { add(id, static_cast<uint64_t>(amount)); }
  /// Counts `value` (microseconds, bytes, ...) into a histogram series.
  void observe(SeriesId id, uint64_t value);

 private:
  friend class Registry;
  std::atomic<uint64_t>& cell_of(SeriesId id);
  // chunk table: filled by the control thread before an id is handed out
};

struct Label {
  std::string_view name;
  std::string_view value;
};

class Registry {
 public:
  explicit Registry(size_t shards);

  /// Finds or makes the series. Labels must be the family's, in its order. Control thread (locked; not for the hot path).
  SeriesId intern(Family family, std::initializer_list<std::string_view> label_values = {});

  [[nodiscard]] Shard& shard(size_t index);
  [[nodiscard]] size_t shard_count() const;

  /// Sum over the shards now.
  [[nodiscard]] uint64_t value(SeriesId id) const;
  [[nodiscard]] HistogramSnapshot histogram(SeriesId id) const;

  /// Calls `visit(family, label_values, id)` for every series, grouped by family.
  template <typename Visit>
  void for_each(Visit&& visit) const;
};

}  // namespace sluice::stats
