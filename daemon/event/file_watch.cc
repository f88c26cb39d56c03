#include "event/file_watch.h"

#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/format.h"
#include "base/log.h"

namespace sluice::event {

namespace {

namespace fs = std::filesystem;

// Nothing about a folder itself: its parent is watched too.
constexpr uint32_t kEvents =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR;

bool has_wildcard(const std::string& text) { return text.find_first_of("*?[") != std::string::npos; }

// Walks the ways to files once, and watches the folders on them. A folder is watched before it is looked into, so nothing
// that happens in between is lost.
class Survey {
 public:
  explicit Survey(int inotify) : inotify_(inotify) {}

  /// What `path` leads to, without links; empty if there is nothing.
  std::string walk(const fs::path& path);
  /// The folders in which a match may appear; the way to the matches that there are is not walked.
  void walk_pattern(const fs::path& pattern);
  FileWatch::Folders take() {
    folders_.erase(kUnwatched);
    return std::move(folders_);
  }
  /// Why a folder cannot be watched; empty if all can.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  static constexpr int kUnwatched = -1;
  FileWatch::Folder& watch(const std::string& folder);

  int inotify_;
  FileWatch::Folders folders_;
  std::unordered_map<std::string, int> watches_;
  std::unordered_map<std::string, std::string>
      known_;  // ends of ways; empty while being walked, which ends loops of links
  std::string problem_;
};

FileWatch::Folder& Survey::watch(const std::string& folder) {
  const auto [watch, is_new] = watches_.try_emplace(folder, kUnwatched);
  if (is_new) {
    watch->second = ::inotify_add_watch(inotify_, folder.c_str(), kEvents);
    if (watch->second < 0 && errno != ENOENT && errno != ENOTDIR) {
      const char* advice = errno == ENOSPC ? "; raise fs.inotify.max_user_watches" : "";
      problem_ = fmt::format("changes in {} are not noticed: {}{}", folder, strerrordesc_np(errno), advice);
    }
  }
  return folders_[watch->second];
}

std::string Survey::walk(const fs::path& path) {
  if (!path.has_relative_path()) return "/";
  const auto [known, is_new] = known_.try_emplace(path.native());
  if (!is_new) return known->second;
  const std::string folder = walk(path.parent_path());
  const std::string name = path.filename();
  std::string end;
  if (folder.empty() || name.empty() || name == ".") {
    end = folder;
  } else if (name == "..") {
    end = fs::path(folder).parent_path();
  } else {
    watch(folder).names.insert(name);
    const fs::path place = fs::path(folder) / name;
    std::error_code error;
    const fs::path target = fs::read_symlink(place, error);
    if (!error) {
      end = walk(fs::path(folder) / target);            // an absolute target stands alone
    } else if (error == std::errc::invalid_argument) {  // no link
      end = place;
    }
  }
  return known_[path.native()] = end;
}

void Survey::walk_pattern(const fs::path& pattern) {
  fs::path before;
  for (const fs::path& name : pattern) {
    const bool wild = has_wildcard(name.native());
    const bool settled = !has_wildcard(before.native());
    for (const std::string& folder : settled ? std::vector{before.native()} : matches_of(before.native())) {
      if (!wild) {
        walk(folder / name);
      } else if (const std::string end = walk(folder); !end.empty()) {
        watch(end).all_names = true;
      }
    }
    before /= name;
  }
}

}  // namespace

FileWatch::FileWatch(Loop& loop, std::function<void(const std::string&)> on_change, Pace pace)
    : loop_(loop),
      on_change_(std::move(on_change)),
      pace_(pace),
      quiet_(
          loop.timers(), [](void* self) { static_cast<FileWatch*>(self)->look_again(); }, this) {}

FileWatch::~FileWatch() {
  if (inotify_) loop_.poller().remove(inotify_.get(), *this);
}

void FileWatch::follow(SourceFiles sources) {
  sources_ = std::move(sources);
  if (!open()) return;
  watch_folders();
  if (!sources_.difference(sources_.now()).empty()) look_again_soon();
}

bool FileWatch::open() {
  if (inotify_) return true;
  inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) {
    const char* advice = errno == EMFILE ? "; raise fs.inotify.max_user_instances, or the limit of descriptors" : "";
    warn(fmt::format("changes of files are not noticed: {}{}; tried again with the next reload", strerrordesc_np(errno),
                     advice));
    return false;
  }
  SL_ASSERT(loop_.poller().add(inotify_.get(), EPOLLIN, *this));
  return true;
}

void FileWatch::watch_folders() {
  Survey survey(inotify_.get());
  std::error_code ignored;  // no current folder: relative paths lead nowhere
  for (const auto& [path, stamp] : sources_.files()) survey.walk(fs::absolute(path, ignored));
  for (const auto& [pattern, matches] : sources_.patterns()) survey.walk_pattern(fs::absolute(pattern, ignored));
  const Folders before = std::exchange(folders_, survey.take());
  for (const auto& [watch, folder] : before) {
    if (folders_.count(watch) == 0) ::inotify_rm_watch(inotify_.get(), watch);  // may be gone with its folder
  }
  warn(survey.problem());
}

void FileWatch::on_ready(uint32_t) {
  alignas(inotify_event) char buffer[16 * 1024];
  const ssize_t count = ::read(inotify_.get(), buffer, sizeof(buffer));  // what it leaves, the next turn brings
  bool touched = false;
  for (ssize_t at = 0; at < count;) {
    const auto& event = *reinterpret_cast<const inotify_event*>(buffer + at);
    at += static_cast<ssize_t>(sizeof(event) + event.len);
    if ((event.mask & IN_Q_OVERFLOW) != 0) touched = true;  // there was more, of whatever kind
    const auto folder = folders_.find(event.wd);
    if (folder == folders_.end()) continue;
    // Without a name: the folder itself is unmounted or removed, or has other rights.
    touched = touched || event.len == 0 || folder->second.all_names || folder->second.names.count(event.name) != 0;
  }
  if (touched) look_again_soon();
}

void FileWatch::look_again_soon() {
  if (!quiet_.is_set()) first_event_ = loop_.now();
  quiet_.set(std::min(loop_.now() + pace_.quiet, first_event_ + pace_.longest));
}

void FileWatch::look_again() {
  watch_folders();
  SourceFiles now = sources_.now();
  const std::string changed = sources_.difference(now);
  if (changed.empty()) return;
  sources_ = std::move(now);
  on_change_(changed);
}

void FileWatch::warn(std::string problem) {
  if (problem == warned_) return;
  warned_ = std::move(problem);
  if (!warned_.empty()) log::warn("watch: {}", warned_);
}

}  // namespace sluice::event
