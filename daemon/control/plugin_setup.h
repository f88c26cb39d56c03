// PluginSetup: what a plugin's configure() sees of the configuration (struct sluice_setup of plugins/abi.h): the nodes of the
// tree, read and judged as every other value, and errors with their places. Lives during one configure().
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/tree.h"
#include "filter/instance.h"

namespace sluice::control {

/// The names that a plugin's configuration may use.
struct KnownNames {
  std::vector<std::string> stores;
  std::vector<std::string> upstreams;
};

class PluginSetup : private sluice_setup {
 public:
  /// `place`: of the instance's name, for errors that belong nowhere else.
  PluginSetup(filter::Instance& made, const Node* config, Place place, const KnownNames& known,
              Diagnostics& diagnostics, SourceFiles& sources);

  [[nodiscard]] sluice_setup* handle() { return this; }
  /// Reports the keys that configure() did not ask for.
  void refuse_unknown_keys();

 private:
  struct Functions;  // of the table
  [[nodiscard]] bool expect_scalar(const sluice_node* node, std::string_view what);
  void refuse(const Node& node, std::string message);
  /// The id of the name that the node is: its place in `asked`, where it is put if it is new. `what`: e.g. "store".
  uint32_t choose(const sluice_node* node, std::string_view what, const std::vector<std::string>& known,
                  std::vector<std::string>& asked);
  /// "... is not `right`"; returns 0.
  int refuse_value(const sluice_node* node, std::string_view right);

  filter::Instance& made_;
  Place place_;
  const KnownNames& known_;
  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::unordered_map<const Node*, std::vector<std::string>> asked_;  // keys, by map
  std::unordered_map<const Node*, std::string> key_of_;              // for messages
};

}  // namespace sluice::control
