#include "cli/pid_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <system_error>

#include "base/format.h"

namespace sluice::cli {

// By way of a second file and rename(2): who reads the file never finds it half written, and a link that somebody put in its
// place is replaced, not followed.
std::string PidFile::write(const std::string& path) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  const std::string text = fmt::format("{}\n", ::getpid());
  bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  written = written && ::rename(fresh.c_str(), path.c_str()) == 0;
  if (!written) return fmt::format("process.pid_file: {}: {}", path, std::generic_category().message(errno));
  path_ = path;
  return {};
}

PidFile::~PidFile() {
  if (path_.empty()) return;
  pid_t pid = 0;
  if (std::ifstream(path_) >> pid && pid == ::getpid()) ::unlink(path_.c_str());
}

}  // namespace sluice::cli
