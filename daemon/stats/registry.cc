#include "stats/registry.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"

namespace sluice::stats {

namespace {
constexpr size_t kChunkBytes = Shard::kChunkCells * sizeof(uint64_t);

// Lengths before the values, so that no value can imitate two others.
std::string key_of(std::span<const std::string_view> values) {
  std::string key;
  for (const std::string_view value : values) {
    key += std::to_string(value.size());
    key += ':';
    key += value;
  }
  return key;
}

size_t position(std::span<const std::string_view> values, std::string_view value) {
  const auto at = std::find(values.begin(), values.end(), value);
  SL_ASSERT(at != values.end());
  return static_cast<size_t>(at - values.begin());
}

size_t run_cells(const FamilyRow& shape) {
  return cells_of(shape.kind) * std::max(size_t{1}, shape.last_values.size());
}
}  // namespace

Shard::~Shard() {
  for (const auto& chunk : chunks_) {
    if (uint64_t* memory = chunk.load(std::memory_order_relaxed); memory != nullptr) munmap(memory, kChunkBytes);
  }
}

// Straight from the kernel: zeroed, nobody else's cache line, and no memory is used before a cell of the page
// is.
void Shard::map_chunk(size_t index) {
  void* memory = mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SL_ASSERT(memory != MAP_FAILED);  // out of memory aborts, by design
  chunks_[index].store(static_cast<uint64_t*>(memory), std::memory_order_release);
}

Registry::Registry(size_t workers) {
  for (size_t i = 0; i < workers + 1; ++i) shards_.push_back(std::make_unique<Shard>());
  size_t widest = 0;  // pick() of any list stays inside the sink
  for (size_t f = 0; f < families_.size(); ++f) widest = std::max(widest, run_cells(row(static_cast<Family>(f))));
  const SeriesId sink = allocate(widest);
  SL_ASSERT(sink == kSink);
}

Registry::Place Registry::place_of(const FamilyRow& shape, std::span<const std::string_view> label_values) {
  SL_ASSERT(label_values.size() == shape.own_labels() || label_values.size() == shape.label_count);
  Place place{key_of(label_values.first(shape.own_labels())), 0};
  if (label_values.size() > shape.own_labels()) {
    place.offset = static_cast<SeriesId>(position(shape.last_values, label_values.back()) * cells_of(shape.kind));
  }
  return place;
}

SeriesId Registry::intern(Family family, std::span<const std::string_view> label_values) {
  const FamilyRow& shape = row(family);
  Place place = place_of(shape, label_values);
  const std::lock_guard lock(mutex_);
  FamilySeries& series = families_[static_cast<size_t>(family)];
  const auto [entry, is_new] = series.index.try_emplace(std::move(place.run), kSink);
  if (is_new) {
    entry->second = allocate(run_cells(shape));
    const auto own = label_values.first(shape.own_labels());
    if (entry->second != kSink) series.runs.push_back({{own.begin(), own.end()}, entry->second});
  }
  return entry->second + place.offset;
}

std::optional<SeriesId> Registry::find(Family family, std::initializer_list<std::string_view> label_values) const {
  const Place place = place_of(row(family), std::span(label_values.begin(), label_values.size()));
  const std::lock_guard lock(mutex_);
  const FamilySeries& series = families_[static_cast<size_t>(family)];
  const auto entry = series.index.find(place.run);
  if (entry == series.index.end() || entry->second == kSink) return std::nullopt;
  return entry->second + place.offset;
}

// A run never crosses the border of a chunk, so that observe() and pick() may add to an id.
SeriesId Registry::allocate(size_t cells) {
  SL_ASSERT(cells <= Shard::kChunkCells);
  const size_t left = Shard::kChunkCells - next_cell_ % Shard::kChunkCells;
  const size_t first = cells <= left ? next_cell_ : next_cell_ + left;
  const size_t chunk = first / Shard::kChunkCells;
  if (chunk >= Shard::kMaxChunks) {
    if (!full_) log::warn("/metrics is full; what would make a new series from now on is not counted");
    full_ = true;
    return kSink;
  }
  next_cell_ = first + cells;
  if (first % Shard::kChunkCells == 0) {
    for (const auto& shard : shards_) shard->map_chunk(chunk);
  }
  return static_cast<SeriesId>(first);
}

uint64_t Registry::value(SeriesId id) const {
  uint64_t sum = 0;
  for (const auto& shard : shards_) sum += Shard::Cell(*shard->cells_at(id)).load(std::memory_order_relaxed);
  return sum;
}

HistogramSnapshot Registry::histogram(SeriesId id) const {
  HistogramSnapshot whole;
  whole.sum = value(id);
  for (size_t i = 0; i < whole.buckets.size(); ++i) whole.buckets[i] = value(static_cast<SeriesId>(id + 1 + i));
  return whole;
}

}  // namespace sluice::stats
