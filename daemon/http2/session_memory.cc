#include "http2/session_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "base/assert.h"

namespace sluice::http2 {

namespace {

// A table begins with 256 places of 16 bytes, and doubles.
constexpr size_t kPage = 4096;

// With larger pages a table would not have them for itself.
bool pages_fit() {
  static const bool fit = ::sysconf(_SC_PAGESIZE) == kPage;
  return fit;
}

SessionMemory& self(void* user) { return *static_cast<SessionMemory*>(user); }

}  // namespace

struct SessionMemory::FrameBuffer {
  // nghttp2 asks for 16,384 bytes and what belongs before them (NGHTTP2_FRAMEBUF_CHUNKLEN), once for a session that is new.
  static constexpr size_t kLeast = 16 * 1024;
  static constexpr size_t kMost = kLeast + 256;
  alignas(std::max_align_t) std::array<std::byte, kMost> bytes;
};

SessionMemory::FrameBuffer& SessionMemory::of_this_thread() {
  thread_local FrameBuffer buffer;
  return buffer;
}

SessionMemory::SessionMemory() : frame_(of_this_thread()) {}

nghttp2_mem SessionMemory::allocator() {
  return {
      .mem_user_data = this,
      .malloc = [](size_t bytes, void*) { return std::malloc(bytes); },
      .free = [](void* old, void* user) { self(user).release(old); },
      .calloc = [](size_t count, size_t bytes, void* user) { return self(user).allocate_zeroed(count * bytes); },
      .realloc = [](void* old, size_t bytes, void* user) { return self(user).reallocate(old, bytes); },
  };
}

void* SessionMemory::allocate_zeroed(size_t bytes) {
  if (bytes == 0 || bytes % kPage != 0) return std::calloc(1, bytes);
  void* table = std::aligned_alloc(kPage, bytes);
  if (table == nullptr) return nullptr;
  std::memset(table, 0, bytes);
  table_ = static_cast<std::byte*>(table);
  table_bytes_ = bytes;
  return table;
}

void* SessionMemory::reallocate(void* old, size_t bytes) {
  SL_ASSERT(old != &frame_.bytes || bytes <= FrameBuffer::kMost);  // a longer head gets further buffers
  if (old == &frame_.bytes) return old;
  if (old == nullptr && is_making_ && bytes >= FrameBuffer::kLeast && bytes <= FrameBuffer::kMost) {
    is_making_ = false;
    return &frame_.bytes;
  }
  return std::realloc(old, bytes);
}

void SessionMemory::release(void* old) {
  if (old == &frame_.bytes) return;
  if (old == table_) table_ = nullptr;
  std::free(old);
}

bool SessionMemory::rest() {
  if (table_ == nullptr || !pages_fit()) return false;
  const bool is_empty = std::all_of(table_, table_ + table_bytes_, [](std::byte each) { return each == std::byte{0}; });
  return is_empty && ::madvise(table_, table_bytes_, MADV_DONTNEED) == 0;
}

}  // namespace sluice::http2
