// PidFile: a file that holds this process's id while the process runs (process.pid_file). Control thread.
#pragma once

#include <string>

namespace sluice::cli {

class PidFile {
 public:
  PidFile() = default;
  /// Removes the file, if we may and it still holds our own id: after a binary upgrade it is the next process's.
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

  /// Writes the file anew. Returns what is wrong, or an empty text.
  [[nodiscard]] std::string write(const std::string& path);

 private:
  std::string path_;
};

}  // namespace sluice::cli
