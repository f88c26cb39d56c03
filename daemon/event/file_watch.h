// FileWatch: calls back when files that something was read from are no longer what they were. Owned by the Gateway,
// control thread, dies with its loop at the latest.
//
// It watches folders by inotify, never files: who renames a new file or link into place, as editors and Kubernetes do, leaves
// a file's own watch at the old one. Watched is every folder on the way to a file, through each link's target too. So a
// folder that goes, comes back or is another one is noticed like the file itself. An event says no more than "look
// again": after a quiet moment the ways are walked anew, and the files are compared with what they were. Changes that another
// machine makes on a network file system are not seen.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/source_files.h"
#include "base/unique_fd.h"
#include "event/loop.h"

namespace sluice::event {

class FileWatch final : private Poller::Watcher {
 public:
  struct Pace {
    Millis quiet{250};      // without an event: whoever writes several files is done by then
    Millis longest{2'000};  // from the first event on, however many follow
  };

  /// `on_change` is told one of the paths that changed. It may call follow(), but not end the watch.
  FileWatch(Loop& loop, std::function<void(const std::string& path)> on_change, Pace pace);
  FileWatch(Loop& loop, std::function<void(const std::string& path)> on_change)
      : FileWatch(loop, std::move(on_change), Pace{}) {}
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  /// Follows these files instead of those before. If they are not any more what `sources` says, that is told soon. What cannot
  /// be watched is logged once.
  void follow(SourceFiles sources);

  /// What is of interest in a watched folder.
  struct Folder {
    std::unordered_set<std::string> names;
    bool all_names = false;
  };
  using Folders = std::unordered_map<int, Folder>;  // by inotify's watch descriptor

 private:
  void on_ready(uint32_t events) override;
  [[nodiscard]] bool open();
  void watch_folders();
  void look_again_soon();
  void look_again();
  void warn(std::string problem);

  Loop& loop_;
  std::function<void(const std::string&)> on_change_;
  Pace pace_;
  UniqueFd inotify_;
  Folders folders_;
  SourceFiles sources_;
  Timer quiet_;
  MonoTime first_event_;  // while quiet_ is set
  std::string warned_;    // the last problem, not to be said twice
};

}  // namespace sluice::event
