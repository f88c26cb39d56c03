#include "base/source_files.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <memory>

namespace sluice {

namespace {
SourceFiles::Stamp stamp_of(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return {};
  SourceFiles::Stamp stamp{.device = found.st_dev, .inode = found.st_ino};
  if (S_ISREG(found.st_mode)) {  // a folder changes with each file in it
    stamp.bytes = found.st_size;
    stamp.changed_ns = int64_t{found.st_ctim.tv_sec} * 1'000'000'000 + found.st_ctim.tv_nsec;
  }
  return stamp;
}
}  // namespace

std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  const std::unique_ptr<glob_t, decltype(&globfree)> owner(&found, globfree);
  if (glob(pattern.c_str(), 0, nullptr, &found) != 0) return {};
  return {found.gl_pathv, found.gl_pathv + found.gl_pathc};
}

void SourceFiles::add(const std::string& path) { files_.try_emplace(path, stamp_of(path)); }

const std::vector<std::string>& SourceFiles::add_pattern(const std::string& pattern) {
  return patterns_.try_emplace(pattern, matches_of(pattern)).first->second;
}

void SourceFiles::add(const SourceFiles& others) {
  files_.insert(others.files_.begin(), others.files_.end());
  patterns_.insert(others.patterns_.begin(), others.patterns_.end());
}

SourceFiles SourceFiles::now() const {
  SourceFiles fresh;
  for (const auto& [path, stamp] : files_) fresh.add(path);
  for (const auto& [pattern, matches] : patterns_) fresh.add_pattern(pattern);
  return fresh;
}

std::string SourceFiles::difference(const SourceFiles& later) const {
  for (const auto& [path, stamp] : files_) {
    if (!(later.files_.at(path) == stamp)) return path;
  }
  for (const auto& [pattern, matches] : patterns_) {
    const std::vector<std::string>& then = later.patterns_.at(pattern);
    std::vector<std::string> different;
    std::set_symmetric_difference(matches.begin(), matches.end(), then.begin(), then.end(),
                                  std::back_inserter(different));
    if (!different.empty()) return different.front();
  }
  return {};
}

}  // namespace sluice
