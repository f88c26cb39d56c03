// SessionMemory: where one nghttp2 session keeps what it has, by nghttp2's own interface for allocators. A session takes 25 KiB for
// good, of which 20 need not be there while it idles:
// - the buffer for the frame that is made next, 16 KiB: all sessions of a thread make theirs in one, which is right for as long as a
//   frame is copied before another session makes one;
// - the table of streams, 4 KiB and all zeros while there are none: it has pages of its own, which can go back to the system, for they
//   read as zeros again (madvise(2), MADV_DONTNEED).
// Outlives its session, and stays on the thread that made it.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

namespace sluice::http2 {

class SessionMemory {
 public:
  SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  /// The session's allocator. Until made() it gets the shared buffer for what it asks of that size.
  [[nodiscard]] nghttp2_mem allocator();
  void made() { is_making_ = false; }

  /// Gives back what no open stream needs. False if there is nothing of that kind.
  bool rest();

 private:
  struct FrameBuffer;
  static FrameBuffer& of_this_thread();

  [[nodiscard]] void* allocate_zeroed(size_t bytes);
  [[nodiscard]] void* reallocate(void* old, size_t bytes);
  void release(void* old);

  FrameBuffer& frame_;
  std::byte* table_ = nullptr;  // nghttp2's: the last that it asked for
  size_t table_bytes_ = 0;
  bool is_making_ = true;
};

}  // namespace sluice::http2
