#include "proxy/access_log_sink.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace sluice::proxy {

namespace {
Output open_path(const std::string& path) {
  struct stat status {};
  const bool fifo = stat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
  // A FIFO is opened for reading as well: it can then be opened, and keeps lines, while nobody reads it.
  const int flags = (fifo ? O_RDWR : O_WRONLY | O_APPEND | O_CREAT) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  return Output(UniqueFd(::open(path.c_str(), flags, 0640)));
}
}  // namespace

int AccessLogSink::open() {
  Output opened = path_ == "stdout" ? Output::share(STDOUT_FILENO) : open_path(path_);
  if (!opened) return errno;
  output_ = std::move(opened);
  return 0;
}

}  // namespace sluice::proxy
