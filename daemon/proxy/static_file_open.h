// The way from a request's path to an open file below a root, and no further. Floor of static_file.h.
#pragma once

#include <array>
#include <climits>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace sluice::proxy {

/// A decoded path relative to the root, ended by NUL.
struct StaticPath {
  std::array<char, PATH_MAX> bytes;
  size_t size = 0;

  [[nodiscard]] const char* c_str() const { return bytes.data(); }
  [[nodiscard]] std::string_view view() const { return {bytes.data(), size}; }
};

/// Decodes percent-escapes and leading slashes off `encoded`, and appends `index` to a path that ends in a
/// slash or is empty. Errors: bad_path (encoded slash, NUL, bad escape), file_not_found (a name that begins
/// with a dot; too long).
Result<void> decode_static_path(std::string_view encoded, std::string_view index, StaticPath& path);

enum class Opener {
  openat2,   // the kernel keeps the path below the root (Linux 5.6)
  stepwise,  // for older kernels: folder by folder, following no symlink at all
};

/// Opens for reading; never waits for a FIFO's writer. What it is (regular file, folder, ...) the caller must
/// ask. Errors: file_not_found, file_forbidden, out_of_descriptors, internal_error.
Result<UniqueFd> open_beneath(int root_fd, const StaticPath& path, Opener opener = Opener::openat2);

}  // namespace sluice::proxy
