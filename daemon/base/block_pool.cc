#include "base/block_pool.h"

#include <cstdlib>
#include <new>

#include "base/assert.h"

namespace sluice {

BlockPool::~BlockPool() {
  SL_ASSERT(lent_blocks_ == 0);
  for (FreeBlock* block : free_) {
    while (block != nullptr) {
      FreeBlock* next = block->next;
      std::free(block);
      block = next;
    }
  }
}

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
  if (FreeBlock* block = free_[index]; block != nullptr) {
    free_[index] = block->next;
    free_bytes_ -= kSizes[index];
    return {reinterpret_cast<char*>(block), kSizes[index]};
  }
  void* memory = std::malloc(kSizes[index]);
  SL_ASSERT(memory != nullptr);  // out of memory aborts, by design
  return {static_cast<char*>(memory), kSizes[index]};
}

void BlockPool::give_back(Block block) {
  SL_ASSERT(block.data != nullptr && lent_blocks_ > 0);
  --lent_blocks_;
  if (free_bytes_ + block.bytes > keep_bytes_) {
    std::free(block.data);
    return;
  }
  const size_t index = class_of(block.bytes);
  auto* entry = new (block.data) FreeBlock{free_[index]};
  free_[index] = entry;
  free_bytes_ += block.bytes;
}

}  // namespace sluice
