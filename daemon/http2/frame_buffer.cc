#include "http2/frame_buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/assert.h"

namespace sluice::http2 {

FrameBuffer& FrameBuffer::of_this_thread() {
  thread_local FrameBuffer buffer;
  return buffer;
}

nghttp2_mem FrameBuffer::allocator() {
  return {
      .mem_user_data = this,
      .malloc = [](size_t bytes, void*) { return std::malloc(bytes); },
      .free = [](void* old, void* self) { static_cast<FrameBuffer*>(self)->reallocate(old, 0); },
      .calloc = [](size_t count, size_t bytes, void*) { return std::calloc(count, bytes); },
      .realloc = [](void* old, size_t bytes,
                    void* self) { return static_cast<FrameBuffer*>(self)->reallocate(old, bytes); },
  };
}

void* FrameBuffer::reallocate(void* old, size_t bytes) {
  if (old == bytes_.data()) {
    SL_ASSERT(bytes <= kBytes);  // it never grows: a longer head gets further buffers
    return bytes > 0 ? old : nullptr;
  }
  if (old == nullptr && is_free_ && bytes >= kLeast && bytes <= kBytes) {
    is_free_ = false;
    return bytes_.data();
  }
  if (bytes > 0) return std::realloc(old, bytes);
  std::free(old);
  return nullptr;
}

}  // namespace sluice::http2
