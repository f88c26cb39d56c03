// PluginCompiler: from drafts to configured plugin instances: loads the modules, lets each read its configuration out of the tree, and
// reports what it says, with file and line. An instance of the running snapshot whose module, configuration and files are the
// same is kept. Lives during one compilation.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/draft.h"
#include "control/plugin_setup.h"
#include "control/tree.h"
#include "filter/instance.h"
#include "snapshot/snapshot.h"

namespace sluice::control {

class PluginCompiler {
 public:
  /// `folder`: process.plugin_dir. `running` may be nullptr.
  PluginCompiler(const std::string& folder, const snapshot::Snapshot* running, Diagnostics& diagnostics,
                 SourceFiles& sources);

  std::vector<snapshot::PluginSpec> compile(std::span<const PluginDraft> drafts, const KnownNames& known);
  /// The indices of the plugins that a listener or a route names.
  std::vector<uint32_t> find(std::span<Node* const> names);
  /// By index: does anybody use it?
  [[nodiscard]] const std::vector<bool>& used() const { return used_; }

 private:
  std::shared_ptr<const filter::Instance> compile(const PluginDraft& draft, const KnownNames& known);
  [[nodiscard]] std::shared_ptr<const filter::Instance> unchanged(const PluginDraft& draft, const std::string& written,
                                                                  const KnownNames& known) const;
  std::shared_ptr<const filter::Module> load(const Node& name);

  std::string folder_;
  const snapshot::Snapshot* running_;
  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::unordered_map<std::string, std::shared_ptr<const filter::Module>> modules_;
  std::unordered_map<std::string_view, uint32_t> index_;
  std::vector<bool> used_;
};

}  // namespace sluice::control
