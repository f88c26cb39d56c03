#include "proxy/series.h"

namespace sluice::proxy {

using stats::Family;

namespace {

RouteSeries intern_route(stats::Registry& registry, std::string_view route) {
  return {.requests = registry.intern(Family::requests, {route}),
          .duration = registry.intern(Family::request_duration, {route})};
}

}  // namespace

Series Series::intern(stats::Registry& registry, const snapshot::Snapshot& snapshot) {
  Series series;
  for (const snapshot::ListenerSpec& listener : snapshot.listeners) {
    series.listeners.push_back({.accepted = registry.intern(Family::downstream_accepted, {listener.name}),
                                .received = registry.intern(Family::downstream_received, {listener.name}),
                                .sent = registry.intern(Family::downstream_sent, {listener.name}),
                                .connections = registry.intern(Family::downstream_connections, {listener.name}),
                                .closed = registry.intern(Family::downstream_closed, {listener.name})});
  }
  for (const snapshot::RouteSpec& route : snapshot.routes) series.routes.push_back(intern_route(registry, route.name));
  for (const snapshot::ClusterSpec& cluster : snapshot.clusters) {
    ClusterSeries& made = series.clusters.emplace_back();
    made.retries = registry.intern(Family::upstream_retries, {cluster.name});
  }
  for (const snapshot::StoreSpec& store : snapshot.stores) series.stores.emplace_back(registry, store.name);
  for (const snapshot::PluginSpec& plugin : snapshot.plugins) {
    series.plugins.push_back(filter::InstanceSeries::intern(registry, *plugin.instance));
  }
  series.unrouted = intern_route(registry, "");
  series.in_flight = registry.intern(Family::requests_in_flight);
  series.slices = registry.intern(Family::request_slices);
  series.failures = registry.intern(Family::request_failures);
  series.log_lines = registry.intern(Family::access_log_lines);
  return series;
}

}  // namespace sluice::proxy
