// What the admin pages are made of: the parts of the running gateway, handed over by main. All are asked on
// the control thread, at the moment somebody asks for a page, and must outlive the Server.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "snapshot/snapshot.h"
#include "stats/registry.h"

namespace sluice::admin {

struct Sources {
  stats::Registry& registry;
  /// The configuration that new exchanges get; never null.
  std::function<std::shared_ptr<const snapshot::Snapshot>()> current;
  /// False while starting and while shutting down.
  std::function<bool()> ready;
  /// Called before figures are read, for those that are stated rather than counted (stats::ProcessFigures).
  /// May be empty.
  std::function<void()> refresh;
  std::string version;
};

}  // namespace sluice::admin
