#include "proxy/series.h"

namespace sluice::proxy {

using stats::Family;

namespace {

RouteSeries intern_route(stats::SeriesHold& hold, std::string_view route) {
  return {.requests = hold.intern(Family::requests, {route}),
          .duration = hold.intern(Family::request_duration, {route})};
}

}  // namespace

Series Series::intern(stats::SeriesHold& hold, const snapshot::Snapshot& snapshot) {
  Series series;
  for (const snapshot::ListenerSpec& listener : snapshot.listeners) {
    series.listeners.push_back({.accepted = hold.intern(Family::downstream_accepted, {listener.name}),
                                .received = hold.intern(Family::downstream_received, {listener.name}),
                                .sent = hold.intern(Family::downstream_sent, {listener.name}),
                                .connections = hold.intern(Family::downstream_connections, {listener.name}),
                                .closed = hold.intern(Family::downstream_closed, {listener.name}),
                                .handshakes = hold.intern(Family::tls_handshakes, {listener.name}),
                                .early_data = hold.intern(Family::tls_early_data, {listener.name}),
                                .tunnels_opened = hold.intern(Family::tunnels_opened, {listener.name}),
                                .tunnels_open = hold.intern(Family::tunnels_open, {listener.name}),
                                .tunnel_received = hold.intern(Family::tunnel_received, {listener.name}),
                                .tunnel_sent = hold.intern(Family::tunnel_sent, {listener.name}),
                                .tunnel_duration = hold.intern(Family::tunnel_duration, {listener.name})});
  }
  for (const snapshot::RouteSpec& route : snapshot.routes) series.routes.push_back(intern_route(hold, route.name));
  for (const snapshot::ClusterSpec& cluster : snapshot.clusters) {
    ClusterSeries& made = series.clusters.emplace_back();
    made.retries = hold.intern(Family::upstream_retries, {cluster.name});
  }
  for (const snapshot::StoreSpec& store : snapshot.stores) series.stores.emplace_back(hold, store.name);
  for (const snapshot::PluginSpec& plugin : snapshot.plugins) {
    series.plugins.push_back(filter::InstanceSeries::intern(hold, *plugin.instance));
  }
  series.unrouted = intern_route(hold, "");
  series.in_flight = hold.intern(Family::requests_in_flight);
  series.slices = hold.intern(Family::request_slices);
  series.failures = hold.intern(Family::request_failures);
  series.log_lines = hold.intern(Family::access_log_lines);
  return series;
}

}  // namespace sluice::proxy
