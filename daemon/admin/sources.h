// What the admin pages are made of: the parts of the running gateway, handed over by main. All are asked on
// the control thread, at the moment somebody asks for a page, and must outlive the Server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/diagnostic.h"
#include "snapshot/snapshot.h"
#include "stats/registry.h"
#include "upstream/discovery.h"

namespace sluice::admin {

/// How the last reload went, or the start.
struct ReloadReport {
  bool accepted = true;
  std::vector<control::Diagnostic> errors;  // in the configuration
  std::string failure;                      // it has no errors, but could not take effect
  std::vector<std::string> changes;         // in words; the first ones of very many:
  size_t changes_left_out = 0;
  uint64_t generation = 1;  // of the configuration that runs
  Micros took{0};
};

struct Sources {
  stats::Registry& registry;
  /// The configuration that new exchanges get; never null.
  std::function<std::shared_ptr<const snapshot::Snapshot>()> current;
  /// False while starting, draining and shutting down.
  std::function<bool()> ready;
  /// Every worker can use the store with this index of current()->stores.
  std::function<bool(size_t)> store_available;
  /// Called before figures are read, for those that are stated rather than counted (stats::ProcessFigures).
  /// May be empty.
  std::function<void()> refresh;
  /// Starts to read the configuration anew; Server::on_reloaded() is called when that is over. False: not now.
  std::function<bool()> reload;
  std::function<const ReloadReport&()> last_reload;
  /// Connections end with their next answer, and ready() is false; or not any more.
  std::function<void(bool)> drain;
  /// What is known of the endpoints' names, and who is asked; nullptr and empty: nothing.
  const upstream::Discovery* discovery = nullptr;
  std::function<std::string()> dns_servers;
  std::string version;
};

}  // namespace sluice::admin
