#include "proxy/access_log_sink.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace sluice::proxy {

namespace {
struct Opened {
  UniqueFd fd;  // none: errno says why
  bool may_block = false;
};

Opened open_path(const std::string& path) {
  struct stat status {};
  const bool fifo = stat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
  // A FIFO is opened for reading as well: it can then be opened, and keeps lines, while nobody reads it.
  const int flags = (fifo ? O_RDWR : O_WRONLY | O_APPEND | O_CREAT) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  return {UniqueFd(::open(path.c_str(), flags, 0640)), false};
}

Opened open_stdout() {
  struct stat status {};
  if (fstat(STDOUT_FILENO, &status) != 0) return {};
  // O_NONBLOCK is a flag of the open file, which a shell or a container runtime shares with us. Opening the
  // pipe or terminal once more gives one of our own. Not so for a regular file, where we must share the
  // offset with others.
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    UniqueFd own(::open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (own) return {std::move(own), false};
  }
  return {UniqueFd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)), !S_ISREG(status.st_mode)};
}
}  // namespace

int AccessLogSink::open() {
  Opened opened = path_ == "stdout" ? open_stdout() : open_path(path_);
  if (!opened.fd) return errno;
  fd_ = std::move(opened.fd);
  may_block_ = opened.may_block;
  return 0;
}

ssize_t AccessLogSink::write(const iovec* pieces, size_t count) {
  if (!may_block_) return writev(fd_.get(), pieces, static_cast<int>(std::min<size_t>(count, IOV_MAX)));
  // A pipe or socket that polls writable takes PIPE_BUF bytes without blocking (pipe(7)).
  pollfd ready{fd_.get(), POLLOUT, 0};
  if (poll(&ready, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(fd_.get(), pieces[0].iov_base, std::min<size_t>(pieces[0].iov_len, PIPE_BUF));
}

}  // namespace sluice::proxy
