// PluginSetup: what a plugin's configure() sees of the configuration (struct sluice_setup of plugins/abi.h): the nodes of the
// tree, read and judged as every other value, and errors with their places. Lives during one configure().
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/tree.h"
#include "filter/instance.h"

namespace sluice::control {

class PluginSetup : private sluice_setup {
 public:
  /// `place`: of the instance's name, for errors that belong nowhere else. `stores`: the names that there are.
  PluginSetup(filter::Instance& made, const Node* config, Place place, std::span<const std::string> stores,
              Diagnostics& diagnostics, SourceFiles& sources);

  [[nodiscard]] sluice_setup* handle() { return this; }
  /// Reports the keys that configure() did not ask for.
  void refuse_unknown_keys();

 private:
  struct Functions;  // of the table
  [[nodiscard]] bool expect_scalar(const sluice_node* node, std::string_view what);
  void refuse(const Node& node, std::string message);
  /// "... is not `right`"; returns 0.
  int refuse_value(const sluice_node* node, std::string_view right);

  filter::Instance& made_;
  Place place_;
  std::span<const std::string> stores_;
  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::unordered_map<const Node*, std::vector<std::string>> asked_;  // keys, by map
  std::unordered_map<const Node*, std::string> key_of_;              // for messages
};

}  // namespace sluice::control
