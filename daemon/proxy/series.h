// Series: the places in the registry where the exchanges of one snapshot count. Interned once on the control thread when a
// snapshot is published (Publication), shared by all workers, immutable.
#pragma once

#include <vector>

#include "filter/worker_instance.h"
#include "snapshot/snapshot.h"
#include "stats/registry.h"

namespace sluice::proxy {

struct ListenerSeries {
  stats::SeriesId accepted, received, sent;
  stats::SeriesId connections;  // a run, by state
  stats::SeriesId closed;       // a run, by reason
  stats::SeriesId handshakes;   // a run, by session
  stats::SeriesId early_data;   // a run, by result
  stats::SeriesId tunnels_opened, tunnels_open, tunnel_received, tunnel_sent, tunnel_duration;
};

struct RouteSeries {
  stats::SeriesId requests;  // a run, by status class
  stats::SeriesId duration;
};

struct ClusterSeries {
  stats::SeriesId retries;  // a run, by kind
};

struct Series {
  std::vector<ListenerSeries> listeners;
  std::vector<RouteSeries> routes;
  std::vector<ClusterSeries> clusters;
  std::vector<store::StoreSeries> stores;
  std::vector<filter::InstanceSeries> plugins;
  RouteSeries unrouted;
  stats::SeriesId in_flight;
  stats::SeriesId slices;    // a run, by slice
  stats::SeriesId failures;  // a run, by reason
  stats::SeriesId log_lines;

  static Series intern(stats::SeriesHold& hold, const snapshot::Snapshot& snapshot);
};

}  // namespace sluice::proxy
