// Output: where log lines go. Writing never blocks, and yet O_NONBLOCK is turned on for no other process: standard output and
// standard error are open files that a shell, a service manager or a container runtime shares with us. One owner at a time.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <utility>

#include "base/unique_fd.h"

namespace sluice {

class Output {
 public:
  Output() = default;  // writes nothing: EBADF
  /// Of a descriptor that is ours alone: opened with O_NONBLOCK, or a file.
  explicit Output(UniqueFd own) : fd_(std::move(own)) {}
  /// STDOUT_FILENO or STDERR_FILENO, as it is now. Without a descriptor if that fails: errno says why.
  static Output share(int standard);

  /// As writev(2): may write less; fails with EAGAIN instead of blocking.
  [[nodiscard]] ssize_t write(const iovec* pieces, size_t count);

  [[nodiscard]] int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  Output(UniqueFd shared, bool may_block) : fd_(std::move(shared)), may_block_(may_block) {}

  UniqueFd fd_;
  bool may_block_ = false;
};

}  // namespace sluice
