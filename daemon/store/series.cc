#include "store/series.h"

namespace sluice::store {

using stats::Family;

StoreSeries::StoreSeries(stats::Registry& registry, std::string_view store)
    : operations(registry.intern(Family::store_operations, {store})),
      misses(registry.intern(Family::store_misses, {store})),
      failures(registry.intern(Family::store_failures, {store})) {}

MemorySeries::MemorySeries(stats::Registry& registry, std::string_view store)
    : shard_(registry.control()),
      entries_(registry.intern(Family::store_entries, {store})),
      bytes_(registry.intern(Family::store_bytes, {store})),
      evictions_(registry.intern(Family::store_evictions, {store})),
      expirations_(registry.intern(Family::store_expirations, {store})) {}

void MemorySeries::show(const MemoryFigures& figures) {
  shard_.set(entries_, figures.entries);
  shard_.set(bytes_, figures.bytes);
  shard_.set(evictions_, figures.evictions);
  shard_.set(expirations_, figures.expirations);
}

}  // namespace sluice::store
