#include "proxy/log_ring.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"

namespace sluice::proxy {

LogBell::LogBell() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { SL_ASSERT(event_); }

void LogBell::ring() {
  // Full (EAGAIN) means that it is ringing already.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof(one));
}

void LogBell::hush() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.get(), &count, sizeof(count));
}

LogRing::LogRing(LogBell& bell, size_t bytes)
    : capacity_(std::bit_ceil(std::max<size_t>(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE))))), bell_(&bell) {
  const UniqueFd memory(memfd_create("sluice-access-log", MFD_CLOEXEC));
  SL_ASSERT(memory && ftruncate(memory.get(), static_cast<off_t>(capacity_)) == 0);
  // Reserve the addresses in one piece, then put the same pages into both halves.
  void* both = mmap(nullptr, 2 * capacity_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  SL_ASSERT(both != MAP_FAILED);
  memory_ = static_cast<char*>(both);
  for (char* half : {memory_, memory_ + capacity_}) {
    SL_ASSERT(mmap(half, capacity_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory.get(), 0) == half);
  }
}

LogRing::~LogRing() { munmap(memory_, 2 * capacity_); }

// Nobody but the worker writes, and the writer does not look at what it has released: while nothing is left to be read,
// the worker alone uses the memory.
void LogRing::sweep() {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  const bool busy = head - std::exchange(swept_head_, head) > capacity_ / 16;
  const bool touched = head - emptied_head_ > capacity_ / 4;
  if (busy || !touched || tail_.load(std::memory_order_acquire) != head) return;
  madvise(memory_, capacity_, MADV_REMOVE);
  emptied_head_ = head;
}

bool LogRing::make_room(size_t bytes) {
  seen_tail_ = tail_.load(std::memory_order_acquire);
  if (capacity_ - (head_.load(std::memory_order_relaxed) - seen_tail_) >= bytes) return true;
  dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return false;
}

}  // namespace sluice::proxy
