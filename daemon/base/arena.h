// Arena: memory that lives exactly as long as one exchange. Bump allocation out of BlockPool blocks; everything is
// returned at once. Holds the request head's bytes, its header table, and the head that goes upstream.
// Single thread. One allocation may not exceed the largest block.
#pragma once

#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/block_pool.h"

namespace sluice {

class Arena {
 public:
  explicit Arena(BlockPool& pool) : pool_(&pool) {}
  ~Arena() { reset(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Uninitialised memory, aligned for any scalar.
  [[nodiscard]] char* allocate(size_t bytes) {
    bytes = (bytes + 7) & ~size_t{7};
    if (limit_ - used_ < bytes) grow(bytes);
    char* at = block_ + used_;
    used_ += bytes;
    return at;
  }
  template <typename T>
  [[nodiscard]] std::span<T> allocate_array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 8);
    return {reinterpret_cast<T*>(allocate(count * sizeof(T))), count};
  }
  [[nodiscard]] std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* at = allocate(text.size());
    std::memcpy(at, text.data(), text.size());
    return {at, text.size()};
  }
  /// Gives back everything that was allocated.
  void reset();

 private:
  struct Header {  // at the start of each block, so that the blocks form a list without memory of its own
    char* previous;
    uint32_t previous_bytes;
    uint32_t bytes;
  };
  void grow(size_t bytes);

  BlockPool* pool_;
  char* block_ = nullptr;
  size_t used_ = 0;
  size_t limit_ = 0;
};

}  // namespace sluice
