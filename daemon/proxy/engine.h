// Engine: the proxy of one worker: its client connections, its running exchanges, its upstream clusters, and what they all
// share. Owned by the Worker, used on the worker's thread only; outlives everything that it makes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/slab.h"
#include "event/listener.h"
#include "event/loop.h"
#include "event/pipe.h"
#include "proxy/access_log.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/series.h"
#include "snapshot/snapshot.h"
#include "upstream/cluster.h"

namespace sluice::proxy {

class Engine {
 public:
  /// `access_log` may be nullptr (off). `max_connections` is this worker's share.
  Engine(event::Loop& loop, stats::Shard& shard, std::shared_ptr<const snapshot::Snapshot> snapshot,
         std::shared_ptr<const Series> series, AccessLog* access_log, uint32_t max_connections);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// A client connected to listener `listener` of the snapshot.
  void accept(uint32_t listener, int fd, const SocketAddress& peer);
  /// accept(2) failed for want of descriptors.
  void count_exhausted(uint32_t listener);
  /// Ends every connection and exchange now, each counted as shutting_down.
  void close_all();

  // For downstreams and exchanges:
  [[nodiscard]] event::Loop& loop() { return loop_; }
  [[nodiscard]] stats::Shard& shard() { return shard_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] const snapshot::Snapshot& snapshot() const { return *snapshot_; }
  [[nodiscard]] const Series& series() const { return *series_; }
  [[nodiscard]] AccessLog* access_log() { return access_log_; }
  [[nodiscard]] event::PipePool& pipes() { return pipes_; }
  /// For one head at a time, during a callback.
  [[nodiscard]] std::span<http::HeaderField> field_scratch() { return field_scratch_; }
  [[nodiscard]] upstream::Cluster& cluster(uint32_t index) { return *clusters_[index]; }
  /// The current Date header's value; made once a second.
  [[nodiscard]] std::string_view date();

  [[nodiscard]] Exchange& start_exchange(Downstream& downstream);
  /// Frees them at the end of the turn: they may be on the stack now.
  void end_exchange(Exchange& exchange);
  void end_downstream(Downstream& downstream);

 private:
  void refuse(uint32_t listener, int fd, Reason reason);
  [[nodiscard]] bool is_trusted(const SocketAddress& peer) const;

  event::Loop& loop_;
  stats::Shard& shard_;
  std::shared_ptr<const snapshot::Snapshot> snapshot_;
  std::shared_ptr<const Series> series_;
  AccessLog* access_log_;
  uint32_t max_connections_;
  Random random_;
  event::PipePool pipes_;
  std::vector<http::HeaderField> field_scratch_;
  std::vector<std::unique_ptr<upstream::Cluster>> clusters_;
  Slab<Downstream> downstream_slab_;
  Slab<Exchange> exchange_slab_;
  IntrusiveList<Downstream, DownstreamTag> downstreams_;
  int64_t date_second_ = -1;
  char date_[29];
};

}  // namespace sluice::proxy
