#include "proxy/static_file_open.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace sluice::proxy {

namespace {

constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
constexpr int kRaceRetries = 8;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The byte at `at`, decoded; `at` moves to its last character. -1: nothing that may stand in a file name.
int decode_byte(std::string_view encoded, size_t& at) {
  const char c = encoded[at];
  if (c != '%') return c == '\0' ? -1 : static_cast<unsigned char>(c);
  if (at + 2 >= encoded.size()) return -1;
  const int high = hex_value(encoded[at + 1]);
  const int low = hex_value(encoded[at + 2]);
  at += 2;
  if (high < 0 || low < 0) return -1;
  const int byte = high * 16 + low;
  return byte == 0 || byte == '/' ? -1 : byte;
}

// "." and ".." are among the names that begin with a dot.
bool has_hidden_segment(std::string_view path) {
  constexpr std::string_view kWellKnown = ".well-known";
  if (path.starts_with(kWellKnown)) {
    path.remove_prefix(kWellKnown.size());
    if (!path.empty() && path.front() != '/') return true;
  }
  return path.starts_with('.') || path.find("/.") != std::string_view::npos;
}

Reason reason_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG: return Reason::file_not_found;
    case EXDEV:  // left the root
    case ELOOP:  // symlinks in a circle, or a magic link
    case EACCES:
    case EPERM:
    case ENXIO:  // a socket, or a device that is not there
    case ENODEV: return Reason::file_forbidden;
    case EMFILE:
    case ENFILE: return Reason::out_of_descriptors;
    default: return Reason::internal_error;
  }
}

UniqueFd open_resolved(int root_fd, const char* path) {
  open_how how{};
  how.flags = kReadFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: something was renamed during the walk, and the kernel cannot tell whether the path left the root.
  for (int tries = 0; tries < kRaceRetries; ++tries) {
    UniqueFd file(static_cast<int>(syscall(SYS_openat2, root_fd, path, &how, sizeof(how))));
    if (file || (errno != EAGAIN && errno != EINTR)) return file;
  }
  return {};
}

UniqueFd open_stepwise(int root_fd, std::string_view path) {
  UniqueFd folder;
  int at = root_fd;
  for (;;) {
    const size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));  // allocates; only old kernels come here
    if (slash == std::string_view::npos) return UniqueFd(openat(at, name.c_str(), kReadFlags | O_NOFOLLOW));
    path.remove_prefix(slash + 1);
    if (name.empty()) continue;
    folder = UniqueFd(openat(at, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) return {};
    at = folder.get();
  }
}

}  // namespace

Result<void> decode_static_path(std::string_view encoded, std::string_view index, StaticPath& path) {
  path.size = 0;
  while (encoded.starts_with('/')) encoded.remove_prefix(1);
  if (encoded.size() + index.size() >= path.bytes.size()) return Reason::file_not_found;
  for (size_t at = 0; at < encoded.size(); ++at) {
    const int byte = decode_byte(encoded, at);
    if (byte < 0) return Reason::bad_path;
    path.bytes[path.size++] = static_cast<char>(byte);
  }
  if (has_hidden_segment(path.view())) return Reason::file_not_found;
  if (path.view().empty() || path.view().back() == '/') {
    index.copy(path.bytes.data() + path.size, index.size());
    path.size += index.size();
  }
  path.bytes[path.size] = '\0';
  return {};
}

Result<UniqueFd> open_beneath(int root_fd, const StaticPath& path, Opener opener) {
  UniqueFd file;
  if (opener == Opener::openat2) file = open_resolved(root_fd, path.c_str());
  // EPERM: older container runtimes answer so to system calls that they do not know.
  if (!file && (opener == Opener::stepwise || errno == ENOSYS || errno == EPERM))
    file = open_stepwise(root_fd, path.view());
  if (!file) return reason_of(errno);
  return file;
}

}  // namespace sluice::proxy
