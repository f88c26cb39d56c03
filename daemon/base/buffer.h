// Buffer: a queue of bytes in one contiguous piece: append at the end, consume at the front. It borrows its memory from
// a BlockPool only while it holds bytes, so an idle connection owns none. Single thread. Bounded by the largest block:
// whoever fills it pauses its source at a watermark long before that.
#pragma once

#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "base/block_pool.h"

namespace sluice {

class Buffer {
 public:
  static constexpr size_t kMaxBytes = BlockPool::kSizes.back();

  explicit Buffer(BlockPool& pool) : pool_(&pool) {}
  ~Buffer() { clear(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] size_t size() const { return end_ - begin_; }
  /// Valid until the next append or consume.
  [[nodiscard]] std::string_view view() const { return {block_.data + begin_, size()}; }
  /// How many bytes may still be appended.
  [[nodiscard]] size_t room() const { return kMaxBytes - size(); }

  /// `bytes` must fit into room().
  void append(std::string_view bytes);
  void consume(size_t count) {
    SL_ASSERT(count <= size());
    begin_ += static_cast<uint32_t>(count);
    if (begin_ == end_) clear();
  }
  void clear() {
    if (block_.data != nullptr) pool_->give_back(block_);
    block_ = {};
    begin_ = end_ = 0;
  }

 private:
  void make_room(size_t bytes);

  BlockPool* pool_;
  Block block_;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
};

}  // namespace sluice
