// The series of a store in /metrics. Which figures there are stands in stats/families.h.
#pragma once

#include <string_view>

#include "stats/registry.h"
#include "store/memory_shard.h"
#include "store/store.h"

namespace sluice::store {

constexpr stats::StoreOperation label_of(Operation operation) { return static_cast<stats::StoreOperation>(operation); }
#define SL_ROW(name, text) static_assert(label_of(Operation::name) == stats::StoreOperation::name);
SL_STORE_OPERATIONS(SL_ROW)
#undef SL_ROW

/// What every store counts. Made on the control thread, any number of times; counted into the shard of whoever submits.
struct StoreSeries {
  StoreSeries(stats::SeriesHold& hold, std::string_view store);

  stats::SeriesId operations;  // run: pick(operations, label_of(operation))
  stats::SeriesId misses;
  stats::SeriesId failures;  // run: pick(failures, reason)
};

/// What only a memory store knows, stated when somebody reads the figures. Control thread.
class MemorySeries {
 public:
  MemorySeries(stats::SeriesHold& hold, stats::Shard& control, std::string_view store);
  void show(const MemoryFigures& figures);

 private:
  stats::Shard& shard_;
  stats::SeriesId entries_;
  stats::SeriesId bytes_;
  stats::SeriesId evictions_;
  stats::SeriesId expirations_;
};

}  // namespace sluice::store
