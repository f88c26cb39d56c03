// SourceFiles: the files that something was read from, and what they were then, so that one can tell later whether reading
// them again would give something else. A plain value: control makes it while it reads, event::FileWatch compares it.
//
// A file is what its path leads to, links followed: a device and an inode, and of a regular file size and ctime. ctime and
// not mtime, since no tool sets it back, and a chmod that lets us read the file at last moves it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice {

class SourceFiles {
 public:
  struct Stamp {
    dev_t device = 0;  // all 0: nothing is there
    ino_t inode = 0;
    off_t bytes = 0;
    int64_t changed_ns = 0;

    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  using Files = std::map<std::string, Stamp>;
  using Patterns = std::map<std::string, std::vector<std::string>>;  // with the paths that match

  /// Before the file is opened, so that what is written meanwhile counts as a change. It need not exist.
  void add(const std::string& path);
  /// The paths that match a glob pattern, in alphabetical order. The files themselves are not added.
  const std::vector<std::string>& add_pattern(const std::string& pattern);
  /// All of `others` too.
  void add(const SourceFiles& others);

  [[nodiscard]] const Files& files() const { return files_; }
  [[nodiscard]] const Patterns& patterns() const { return patterns_; }

  /// The same files and patterns, looked at anew.
  [[nodiscard]] SourceFiles now() const;
  /// A path that is not in `later`, which is our now(), what it is here; empty if there is none.
  [[nodiscard]] std::string difference(const SourceFiles& later) const;

 private:
  Files files_;
  Patterns patterns_;
};

/// The paths that match a glob pattern, in alphabetical order. A folder that cannot be read has none.
std::vector<std::string> matches_of(const std::string& pattern);

}  // namespace sluice
