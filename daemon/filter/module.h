// Module: one loaded shared object sluice_<name>.so, checked against the interface of plugins/abi.h. Shared by the instances
// made of it; unloaded with the last one. Immutable, any thread.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/abi.h"

namespace sluice::filter {

/// Which file it is: a rebuilt plugin is another one.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t bytes = 0;
  int64_t modified_ns = 0;

  static FileIdentity of(const std::string& path);
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

class Module {
 public:
  /// The file of module `name` in `folder`. nullptr, and `error` in words that tell what to do, if it cannot be loaded.
  static std::shared_ptr<const Module> load(const std::string& folder, std::string_view name, std::string& error);
  /// Modules for which `folder` has a file, in alphabetical order.
  static std::vector<std::string> names_in(const std::string& folder);
  static std::string path_of(const std::string& folder, std::string_view name);

  Module(void* library, const sluice_plugin& plugin, FileIdentity file);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// What it exports; functions that it does not know are null.
  [[nodiscard]] const sluice_plugin& plugin() const { return plugin_; }
  [[nodiscard]] const FileIdentity& file() const { return file_; }

 private:
  void* library_;
  sluice_plugin plugin_;
  FileIdentity file_;
};

}  // namespace sluice::filter
