// BlockPool: raw memory in four sizes, recycled through free lists, so that the request path never calls malloc in the
// steady state. One per worker, used by its thread only. Free blocks past `keep_bytes` go back to the system, so memory
// decays after a peak. The pool outlives every block taken from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice {

/// A piece of memory on loan from a BlockPool. `bytes` is one of BlockPool::kSizes.
struct Block {
  char* data = nullptr;
  uint32_t bytes = 0;
};

class BlockPool {
 public:
  static constexpr std::array<uint32_t, 4> kSizes = {4096, 16384, 65536 + 4096, 262144};

  explicit BlockPool(size_t keep_bytes = size_t{8} << 20) : keep_bytes_(keep_bytes) {}
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// The smallest block of at least `bytes`, which must not exceed kSizes.back().
  [[nodiscard]] Block take(size_t bytes);
  void give_back(Block block);

  [[nodiscard]] size_t lent_blocks() const { return lent_blocks_; }
  [[nodiscard]] size_t free_bytes() const { return free_bytes_; }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  static size_t class_of(size_t bytes);

  std::array<FreeBlock*, kSizes.size()> free_{};
  size_t free_bytes_ = 0;
  size_t keep_bytes_;
  size_t lent_blocks_ = 0;
};

}  // namespace sluice
