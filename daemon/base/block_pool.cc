#include "base/block_pool.h"

#include "base/assert.h"

namespace sluice {

BlockPool::~BlockPool() { SL_ASSERT(lent_blocks_ == 0); }

size_t BlockPool::class_of(size_t bytes) {
  for (size_t i = 0; i < kSizes.size(); ++i) {
    if (bytes <= kSizes[i]) return i;
  }
  SL_ASSERT(!"block larger than the largest class");
  return 0;
}

Block BlockPool::take(size_t bytes) {
  const size_t index = class_of(bytes);
  ++lent_blocks_;
  return {static_cast<char*>(cells_[index].take()), kSizes[index]};
}

void BlockPool::give_back(Block block) {
  SL_ASSERT(block.data != nullptr && lent_blocks_ > 0);
  --lent_blocks_;
  cells_[class_of(block.bytes)].give_back(block.data);
}

void BlockPool::sweep(MonoTime now, size_t& budget) {
  for (CellPool& cells : cells_) cells.sweep(now, budget);
}

size_t BlockPool::chunks() const {
  size_t sum = 0;
  for (const CellPool& cells : cells_) sum += cells.chunks();
  return sum;
}

}  // namespace sluice
