// Snapshot: one whole configuration, compiled and immutable. Made by control/compile, shared by all workers through
// shared_ptr<const Snapshot>; an exchange keeps the one that it began with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "snapshot/route_table.h"
#include "snapshot/spec.h"

namespace sluice::snapshot {

struct Snapshot {
  ProcessSpec process;
  AdminSpec admin;
  AccessLogSpec access_log;
  std::vector<Network> trusted_proxies;
  std::vector<ListenerSpec> listeners;
  std::vector<ClusterSpec> clusters;
  std::vector<StoreSpec> stores;
  std::vector<PluginSpec> plugins;
  std::vector<RouteSpec> routes;
  RouteTable route_table;
  std::string redacted_yaml;  // the configuration as read, includes merged, secrets hidden: what /config shows
};

}  // namespace sluice::snapshot
