// LogRing: the lines of one worker on their way to the LogWriter's thread. A ring of bytes with one producer
// (the worker) and one consumer (the writer): no lock, no system call, never blocks. When it is full, the
// line is dropped and counted. The memory is mapped twice in a row, so that a line, and everything readable,
// is always one contiguous piece.
//
// LogBell: how a worker wakes the writer: only when the writer declared itself idle, so that under load
// nobody calls the kernel. Both belong to the LogWriter, which outlives the workers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/unique_fd.h"

namespace sluice::proxy {

class alignas(64) LogBell {
 public:
  LogBell();

  /// Any thread, after it published a line. Sequentially consistent against set_idle(): either the writer
  /// sees the line when it looks again after set_idle(true), or this call sees it idle.
  void ring_if_idle() {
    if (idle_.load(std::memory_order_seq_cst)) [[unlikely]]
      ring();
  }
  void ring();

  /// The writer's side. fd() becomes readable when the bell rang; hush() makes it quiet again.
  void set_idle(bool idle) { idle_.store(idle, std::memory_order_seq_cst); }
  [[nodiscard]] bool idle() const { return idle_.load(std::memory_order_seq_cst); }
  [[nodiscard]] int fd() const { return event_.get(); }
  void hush();

 private:
  std::atomic<bool> idle_{false};
  UniqueFd event_;
};

class LogRing {
 public:
  static constexpr size_t kDefaultBytes = size_t{1} << 20;

  /// `bytes` is rounded up to a power of two of at least one page. Memory becomes resident as it is first
  /// written.
  explicit LogRing(LogBell& bell, size_t bytes = kDefaultBytes);
  ~LogRing();
  LogRing(const LogRing&) = delete;
  LogRing& operator=(const LogRing&) = delete;

  // --- the worker's side ---

  /// Contiguous room for `bytes`, or nullptr if there is none: then the line counts as dropped.
  [[nodiscard]] char* reserve(size_t bytes) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (capacity_ - (head - seen_tail_) < bytes && !make_room(bytes)) [[unlikely]]
      return nullptr;
    return memory_ + (head & (capacity_ - 1));
  }
  /// Publishes the first `bytes` of what reserve() gave: one whole line, newline included.
  void commit(size_t bytes) {
    head_.store(head_.load(std::memory_order_relaxed) + bytes, std::memory_order_seq_cst);
    bell_->ring_if_idle();
  }

  /// To be called once a second or so: the pages that a burst of lines has touched go back to the system when it is over.
  void sweep();

  // --- the writer's side ---

  /// Everything published and not yet released: whole lines, but for a first one that release() cut.
  [[nodiscard]] std::string_view readable() const {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    return {memory_ + (tail & (capacity_ - 1)), head_.load(std::memory_order_seq_cst) - tail};
  }
  void release(size_t bytes) { tail_.store(tail_.load(std::memory_order_relaxed) + bytes, std::memory_order_release); }

  /// Bytes published since the start. Any thread.
  [[nodiscard]] uint64_t published() const { return head_.load(std::memory_order_seq_cst); }
  /// Of these, bytes released. The writer's side.
  [[nodiscard]] uint64_t released() const { return tail_.load(std::memory_order_relaxed); }
  /// Lines that found no room. Any thread.
  [[nodiscard]] uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  [[nodiscard]] size_t capacity() const { return capacity_; }

 private:
  bool make_room(size_t bytes);

  char* memory_ = nullptr;
  size_t capacity_;
  LogBell* bell_;
  // Positions count bytes since the start and never wrap; each side's own are on a line of their own.
  alignas(64) std::atomic<uint64_t> head_{0};  // written by the worker
  uint64_t seen_tail_ = 0;                     // the worker's last look at tail_
  uint64_t swept_head_ = 0;                    // head_ at the last sweep, and
  uint64_t emptied_head_ = 0;                  // when pages were given back last
  std::atomic<uint64_t> dropped_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};  // written by the writer
};

}  // namespace sluice::proxy
