#include "base/output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace sluice {

// O_NONBLOCK is a flag of the open file. Opening the pipe or terminal once more gives one of our own. Not so for a regular
// file, where we must share the offset with others, nor for a socket, which cannot be opened.
Output Output::share(int standard) {
  struct stat status {};
  if (fstat(standard, &status) != 0) return {};
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    const std::string path = "/proc/self/fd/" + std::to_string(standard);
    UniqueFd own(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (own) return Output(std::move(own));
  }
  return {UniqueFd(fcntl(standard, F_DUPFD_CLOEXEC, 3)), !S_ISREG(status.st_mode)};
}

ssize_t Output::write(const iovec* pieces, size_t count) {
  if (!may_block_) return writev(fd_.get(), pieces, static_cast<int>(std::min<size_t>(count, IOV_MAX)));
  // A pipe or socket that polls writable takes PIPE_BUF bytes without blocking (pipe(7)).
  pollfd ready{fd_.get(), POLLOUT, 0};
  if (poll(&ready, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(fd_.get(), pieces[0].iov_base, std::min<size_t>(pieces[0].iov_len, PIPE_BUF));
}

}  // namespace sluice
