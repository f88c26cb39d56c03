// Pipe: the kernel's buffer between two splice(2) calls, for bodies that pass the gateway without being looked at. PipePool
// keeps a few empty ones, since making one costs three system calls. One pool per worker; a pipe that still holds bytes
// when its owner ends is closed, so that nobody inherits them.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/unique_fd.h"

namespace sluice::event {

class Pipe {
 public:
  static constexpr size_t kWantedBytes = 512 * 1024;

  /// nullptr if the process has no descriptors left.
  static std::unique_ptr<Pipe> open();

  [[nodiscard]] int read_end() const { return read_end_.get(); }
  [[nodiscard]] int write_end() const { return write_end_.get(); }
  /// Bytes in the pipe, as its user counts them.
  [[nodiscard]] size_t held() const { return held_; }
  [[nodiscard]] size_t room() const { return capacity_ - held_; }
  void added(size_t bytes) { held_ += bytes; }
  void removed(size_t bytes) { held_ -= bytes; }

 private:
  UniqueFd read_end_;
  UniqueFd write_end_;
  size_t capacity_ = 0;
  size_t held_ = 0;
};

class PipePool {
 public:
  static constexpr size_t kKeep = 16;

  std::unique_ptr<Pipe> take();
  void give_back(std::unique_ptr<Pipe> pipe);

 private:
  std::vector<std::unique_ptr<Pipe>> spare_;
};

}  // namespace sluice::event
