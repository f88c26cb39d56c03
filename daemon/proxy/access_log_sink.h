// AccessLogSink: the file, FIFO or standard output that access log lines end in, opened so that a write never blocks.
// Owned and used by the LogWriter's thread.
#pragma once

#include <string>

#include "base/output.h"

namespace sluice::proxy {

class AccessLogSink {
 public:
  /// `path` is a file's, made with mode 0640 if missing, or "stdout".
  explicit AccessLogSink(std::string path) : path_(std::move(path)) {}

  /// Opens the path anew, also while open. Returns 0 or an errno; then what was open before stays in use.
  [[nodiscard]] int open();
  /// As Output::write().
  [[nodiscard]] ssize_t write(const iovec* pieces, size_t count) { return output_.write(pieces, count); }

  [[nodiscard]] int fd() const { return output_.fd(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  Output output_;
};

}  // namespace sluice::proxy
