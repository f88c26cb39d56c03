// FrameBuffer: where nghttp2 makes the frame that it hands out next. A session would keep 16 KiB of its own for it, for good; here all
// sessions of a thread make theirs in one. That is right for as long as a frame is copied before another session makes one.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>

namespace sluice::http2 {

class FrameBuffer {
 public:
  static FrameBuffer& of_this_thread();

  /// Lends itself to a session that is being made by `make(memory)`: its allocator, which goes with it to its end, on this thread.
  template <typename Make>
  void lend(Make make) {
    nghttp2_mem memory = allocator();
    is_free_ = true;
    make(memory);
    is_free_ = false;
  }

 private:
  // nghttp2 asks for 16,384 bytes and what belongs before them (NGHTTP2_FRAMEBUF_CHUNKLEN), once for a session that is new.
  static constexpr size_t kLeast = 16 * 1024;
  static constexpr size_t kBytes = kLeast + 256;

  [[nodiscard]] nghttp2_mem allocator();
  void* reallocate(void* old, size_t bytes);

  alignas(std::max_align_t) std::array<std::byte, kBytes> bytes_;
  bool is_free_ = false;
};

}  // namespace sluice::http2
