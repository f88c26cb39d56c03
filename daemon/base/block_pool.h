// BlockPool: raw memory in four sizes, each in a CellPool of its own, so that the request path never calls malloc and memory
// decays after a peak. One per loop, used by its thread only. The pool outlives every block taken from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/cell_pool.h"

namespace sluice {

/// A piece of memory on loan from a BlockPool. `bytes` is one of BlockPool::kSizes.
struct Block {
  char* data = nullptr;
  uint32_t bytes = 0;
};

class BlockPool {
 public:
  static constexpr std::array<uint32_t, 4> kSizes = {4096, 16384, 65536 + 4096, 262144};

  BlockPool() = default;
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// The smallest block of at least `bytes`, which must not exceed kSizes.back().
  [[nodiscard]] Block take(size_t bytes);
  void give_back(Block block);
  /// See CellPool::sweep.
  void sweep(MonoTime now, size_t& budget);

  [[nodiscard]] size_t lent_blocks() const { return lent_blocks_; }
  /// Chunks that it holds of the system, for tests.
  [[nodiscard]] size_t chunks() const;

 private:
  static size_t class_of(size_t bytes);

  std::array<CellPool, kSizes.size()> cells_{CellPool(kSizes[0]), CellPool(kSizes[1]), CellPool(kSizes[2]),
                                             CellPool(kSizes[3])};
  size_t lent_blocks_ = 0;
};

}  // namespace sluice
