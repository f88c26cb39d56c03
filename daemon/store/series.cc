#include "store/series.h"

namespace sluice::store {

using stats::Family;

StoreSeries::StoreSeries(stats::SeriesHold& hold, std::string_view store)
    : operations(hold.intern(Family::store_operations, {store})),
      misses(hold.intern(Family::store_misses, {store})),
      failures(hold.intern(Family::store_failures, {store})) {}

MemorySeries::MemorySeries(stats::SeriesHold& hold, stats::Shard& control, std::string_view store)
    : shard_(control),
      entries_(hold.intern(Family::store_entries, {store})),
      bytes_(hold.intern(Family::store_bytes, {store})),
      evictions_(hold.intern(Family::store_evictions, {store})),
      expirations_(hold.intern(Family::store_expirations, {store})) {}

void MemorySeries::show(const MemoryFigures& figures) {
  shard_.set(entries_, figures.entries);
  shard_.set(bytes_, figures.bytes);
  shard_.set(evictions_, figures.evictions);
  shard_.set(expirations_, figures.expirations);
}

}  // namespace sluice::store
