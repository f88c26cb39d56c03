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

void Shard::clear(SeriesId first, size_t cells) {
  uint64_t* const at = cells_at(first);
  for (size_t i = 0; i < cells; ++i) {  // a page that was never counted into stays one that takes no memory
    if (const Cell cell(at[i]); cell.load(std::memory_order_relaxed) != 0) cell.store(0, std::memory_order_relaxed);
  }
}

// The mapping stays where it is, with zeroes, but its memory goes back.
void Shard::clear_chunk(size_t index) {
  const int failed = madvise(chunks_[index].load(std::memory_order_relaxed), kChunkBytes, MADV_DONTNEED);
  SL_ASSERT(failed == 0);
}

Registry::Registry(size_t workers) {
  for (size_t i = 0; i < workers + 1; ++i) shards_.push_back(std::make_unique<Shard>());
  size_t widest = 0;  // pick() of any list stays inside the sink
  for (size_t f = 0; f < families_.size(); ++f) widest = std::max(widest, run_cells(row(static_cast<Family>(f))));
  open_chunk();
  const SeriesId sink = allocate(widest);
  SL_ASSERT(sink == kSink);
}

Registry::~Registry() = default;

SeriesHold::~SeriesHold() {
  for (Registry::Run* run : runs_) run->holders.fetch_sub(1, std::memory_order_release);
}

Registry::Place Registry::place_of(const FamilyRow& shape, std::span<const std::string_view> label_values) {
  SL_ASSERT(label_values.size() == shape.own_labels() || label_values.size() == shape.label_count);
  Place place{key_of(label_values.first(shape.own_labels())), 0};
  if (label_values.size() > shape.own_labels()) {
    place.offset = static_cast<SeriesId>(position(shape.last_values, label_values.back()) * cells_of(shape.kind));
  }
  return place;
}

SeriesId Registry::intern(Family family, std::span<const std::string_view> label_values, SeriesHold* hold) {
  const FamilyRow& shape = row(family);
  Place place = place_of(shape, label_values);
  const std::lock_guard lock(mutex_);
  FamilySeries& series = families_[static_cast<size_t>(family)];
  auto entry = series.index.find(place.run);
  if (entry == series.index.end()) {
    const SeriesId first = allocate(run_cells(shape));
    if (first == kSink) return kSink + place.offset;
    const auto own = label_values.first(shape.own_labels());
    Run& made = series.runs.emplace_back();
    made.labels.assign(own.begin(), own.end());
    made.first = first;
    entry = series.index.emplace(std::move(place.run), std::prev(series.runs.end())).first;
  }
  Run& run = *entry->second;
  run.unused_since.reset();
  if (hold == nullptr) {
    run.for_good = true;
  } else {
    run.holders.fetch_add(1, std::memory_order_relaxed);
    hold->runs_.push_back(&run);
  }
  return run.first + place.offset;
}

std::optional<SeriesId> Registry::find(Family family, std::initializer_list<std::string_view> label_values) const {
  const Place place = place_of(row(family), std::span(label_values.begin(), label_values.size()));
  const std::lock_guard lock(mutex_);
  const FamilySeries& series = families_[static_cast<size_t>(family)];
  const auto entry = series.index.find(place.run);
  if (entry == series.index.end()) return std::nullopt;
  return entry->second->first + place.offset;
}

// --- cells ---

// A run never crosses the border of a chunk, so that observe() and pick() may add to an id.
SeriesId Registry::allocate(size_t cells) {
  SL_ASSERT(cells <= Shard::kChunkCells);
  SeriesId first = 0;
  if (auto& zeroed = free_[cells]; !zeroed.empty()) {
    first = zeroed.back();
    zeroed.pop_back();
  } else {
    const size_t end = (open_chunk_ + 1) * Shard::kChunkCells;
    if (end - next_cell_ < cells && !open_chunk()) return kSink;
    first = static_cast<SeriesId>(next_cell_);
    next_cell_ += cells;
  }
  ++chunks_[first / Shard::kChunkCells].runs;
  return first;
}

bool Registry::open_chunk() {
  const auto spare = std::find_if(chunks_.begin(), chunks_.end(), [](const Chunk& each) { return each.spare; });
  const auto chunk = static_cast<size_t>(spare - chunks_.begin());
  if (spare != chunks_.end()) {
    spare->spare = false;
  } else if (chunk == Shard::kMaxChunks) {
    if (!full_) log::warn("/metrics is full; what would make a new series from now on is not counted");
    full_ = true;
    return false;
  } else {
    for (const auto& shard : shards_) shard->map_chunk(chunk);
    chunks_.emplace_back();
  }
  open_chunk_ = chunk;
  next_cell_ = chunk * Shard::kChunkCells;
  return true;
}

size_t Registry::forget_unused(MonoTime now) {
  const std::lock_guard lock(mutex_);
  std::vector<Cells> gone;
  for (size_t f = 0; f < families_.size(); ++f) {
    FamilySeries& series = families_[f];
    const size_t cells = run_cells(row(static_cast<Family>(f)));
    const size_t forgotten = std::erase_if(series.index, [&](const auto& entry) {
      if (!is_over(*entry.second, now)) return false;
      gone.push_back({entry.second->first, cells});
      series.runs.erase(entry.second);
      return true;
    });
    if (forgotten > 0) series.index.rehash(0);  // to what is left
  }
  if (!gone.empty()) reclaim(gone);
  return gone.size();
}

bool Registry::is_over(Run& run, MonoTime now) {
  if (run.for_good || run.holders.load(std::memory_order_acquire) > 0) return false;
  if (!run.unused_since) run.unused_since = now;
  return now - *run.unused_since >= kKeep;
}

// A chunk in which no run lives any more goes back to the system as a whole; elsewhere cells wait for a run of their length.
void Registry::reclaim(std::span<const Cells> gone) {
  const auto is_empty = [this](size_t chunk) { return chunks_[chunk].runs == 0 && chunk != open_chunk_; };
  for (const Cells& run : gone) --chunks_[run.chunk()].runs;
  for (const Cells& run : gone) {
    if (is_empty(run.chunk())) continue;
    for (const auto& shard : shards_) shard->clear(run.first, run.count);
    free_[run.count].push_back(run.first);
  }
  for (size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    if (!is_empty(chunk) || chunks_[chunk].spare) continue;
    chunks_[chunk].spare = true;
    for (const auto& shard : shards_) shard->clear_chunk(chunk);
  }
  for (auto& [length, zeroed] : free_) {
    std::erase_if(zeroed, [this](SeriesId first) { return chunks_[first / Shard::kChunkCells].spare; });
    zeroed.shrink_to_fit();
  }
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
