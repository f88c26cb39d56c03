#include "filter/module.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "base/format.h"

namespace sluice::filter {

namespace {

constexpr std::string_view kPrefix = "sluice_";
constexpr std::string_view kSuffix = ".so";
// The table as version 1 of the interface first had it ends with this field.
constexpr size_t kOldestBytes = offsetof(sluice_plugin, on_complete) + sizeof(sluice_plugin::on_complete);

// What is wrong with the table that the file exports; empty if it can be used.
std::string fault_of(const sluice_plugin& exported, std::string_view name) {
  // The two first words keep their places for ever, so they can be read whatever the version.
  if (exported.abi_version != SLUICE_ABI_VERSION) {
    return fmt::format(
        "it was built for plugin interface {}, and this gateway speaks {}: build it with the header of this release",
        exported.abi_version, SLUICE_ABI_VERSION);
  }
  if (exported.struct_size < kOldestBytes) {
    return fmt::format("its table has {} bytes, fewer than the {} of the oldest interface: it is damaged",
                       exported.struct_size, kOldestBytes);
  }
  if (exported.name == nullptr || exported.version == nullptr || exported.name != name) {
    return fmt::format("it says that it is the module \"{}\"", exported.name == nullptr ? "" : exported.name);
  }
  return {};
}

}  // namespace

FileIdentity FileIdentity::of(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec * 1'000'000'000 + found.st_mtim.tv_nsec};
}

std::string Module::path_of(const std::string& folder, std::string_view name) {
  return fmt::format("{}/{}{}{}", folder, kPrefix, name, kSuffix);
}

std::vector<std::string> Module::names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open)) {
    const std::string_view file = entry->d_name;
    if (file.starts_with(kPrefix) && file.ends_with(kSuffix) && file.size() > kPrefix.size() + kSuffix.size()) {
      names.emplace_back(file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size()));
    }
  }
  closedir(open);
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const Module> Module::load(const std::string& folder, std::string_view name, std::string& error) {
  const std::string path = path_of(folder, name);
  const FileIdentity file = FileIdentity::of(path);
  if (file == FileIdentity()) {
    error = fmt::format("there is no {}", path);
    return nullptr;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    error = fmt::format("{} cannot be loaded: {}", path, dlerror());
    return nullptr;
  }
  const auto* exported = static_cast<const sluice_plugin*>(dlsym(library, "sluice_plugin"));
  const std::string fault = exported == nullptr ? "it does not export sluice_plugin" : fault_of(*exported, name);
  if (!fault.empty()) {
    error = fmt::format("{} is not used: {}", path, fault);
    dlclose(library);
    return nullptr;
  }
  sluice_plugin known{};
  std::memcpy(&known, exported, std::min<size_t>(exported->struct_size, sizeof(known)));
  return std::make_shared<const Module>(library, known, file);
}

Module::Module(void* library, const sluice_plugin& plugin, FileIdentity file)
    : library_(library), plugin_(plugin), file_(file) {}

Module::~Module() { dlclose(library_); }

}  // namespace sluice::filter
