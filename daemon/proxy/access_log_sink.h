// AccessLogSink: the file, FIFO or standard output that access log lines end in. Opens it so that a write
// never blocks: where the descriptor cannot be made non-blocking without changing it for other processes too
// (standard output is shared), it writes in pieces that a ready pipe takes at once. Owned and used by the
// LogWriter's thread.
#pragma once

#include <sys/uio.h>

#include <string>

#include "base/unique_fd.h"

namespace sluice::proxy {

class AccessLogSink {
 public:
  /// `path` is a file's, made with mode 0640 if missing, or "stdout".
  explicit AccessLogSink(std::string path) : path_(std::move(path)) {}

  /// Opens the path anew, also while open. Returns 0 or an errno; then what was open before stays in use.
  [[nodiscard]] int open();
  /// As writev(2): may write less; fails with EAGAIN instead of blocking.
  [[nodiscard]] ssize_t write(const iovec* pieces, size_t count);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  UniqueFd fd_;
  bool may_block_ = false;
};

}  // namespace sluice::proxy
