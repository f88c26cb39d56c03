// Instance: a module with one configuration, as a name under `plugins:` stands for it. Made by control/plugin_compiler; shared
// by all workers and by every snapshot that has it unchanged; its configuration is discarded with the last of them. Immutable
// once compiled, any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "filter/module.h"

namespace sluice::filter {

class Instance {
 public:
  explicit Instance(std::shared_ptr<const Module> made_of) : module(std::move(made_of)) {}
  ~Instance() {
    if (config != nullptr && module->plugin().discard != nullptr) module->plugin().discard(config);
  }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  std::shared_ptr<const Module> module;
  std::string name;
  void* config = nullptr;  // what configure() made

  // What configure() asked for, by the id that it got.
  std::vector<std::string> stores;
  std::vector<std::string> upstreams;
  std::vector<std::string> counters;
  std::vector<std::string> histograms;
  std::vector<std::string> dropped_trailers;  // beginnings of their names

  // What it was made of: if all that is the same at a reload, the instance lives on.
  struct File {
    std::string path;
    std::string content;
  };
  std::string written;                       // its configuration as text, variables replaced
  std::vector<std::unique_ptr<File>> files;  // the contents stay where they are
};

}  // namespace sluice::filter
