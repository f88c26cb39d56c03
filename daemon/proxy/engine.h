// Engine: the proxy of one worker: its client connections, its running exchanges, its upstream clusters, and what they all
// share. Owned by the Worker, used on the worker's thread only; outlives everything that it makes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/slab.h"
#include "event/listener.h"
#include "event/loop.h"
#include "event/pipe.h"
#include "filter/host.h"
#include "proxy/access_log.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/generation.h"
#include "proxy/http2_stream.h"

namespace sluice::proxy {

class Engine {
 public:
  /// What this worker needs beside a publication.
  struct Share {
    AccessLog* access_log = nullptr;  // nullptr: off
    uint32_t max_connections = 0;     // of ProcessSpec::max_connections
  };
  /// Gets a publication that this worker has let go of, on the worker's thread: freeing it is slow, and better done
  /// elsewhere.
  using Farewell = std::function<void(std::shared_ptr<const Publication>)>;

  Engine(event::Loop& loop, stats::Shard& shard, std::shared_ptr<const Publication> publication, Share share,
         Farewell farewell);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// New requests get `publication`; those that run keep theirs. Clusters that it did not keep retire, and connections
  /// of listeners that it lacks end with their next answer.
  void adopt(std::shared_ptr<const Publication> publication, Share share);
  /// DNS has other addresses for a Redis store of the current publication.
  void set_store_addresses(uint32_t store, std::vector<SocketAddress> addresses);
  /// DNS has other addresses for a cluster of the current publication.
  void set_members(uint32_t cluster, const upstream::Members& members);
  /// While on, each connection ends with its next answer, or soon if it has nothing to answer.
  void drain(bool on);
  /// Called once, when the last client connection has ended.
  void on_empty(std::function<void()> callback) { on_empty_ = std::move(callback); }
  [[nodiscard]] bool empty() const { return downstream_slab_.live() == 0; }

  /// A client connected to a listener.
  void accept(ListenerSlot slot, int fd, const SocketAddress& peer);
  /// accept(2) failed for want of descriptors.
  void count_exhausted(ListenerSlot slot);
  /// Ends every connection and exchange now, each counted and told as shutting_down.
  void close_all();

  // For downstreams and exchanges:
  [[nodiscard]] event::Loop& loop() { return loop_; }
  [[nodiscard]] stats::Shard& shard() { return shard_; }
  [[nodiscard]] Random& random() { return random_; }
  /// What a request that begins now gets.
  [[nodiscard]] Generation& current() const { return *current_; }
  [[nodiscard]] const ListenerSeries& listener_series(ListenerSlot slot) const { return listener_series_[slot]; }
  /// It is one of trusted_proxies.
  [[nodiscard]] bool is_trusted(const SocketAddress& peer) const;
  /// Connections of this listener end with their next answer.
  [[nodiscard]] bool is_parting(ListenerSlot slot) const { return draining_ || current_->listener(slot) == nullptr; }
  [[nodiscard]] AccessLog* access_log() { return share_.access_log; }
  [[nodiscard]] event::PipePool& pipes() { return pipes_; }
  [[nodiscard]] filter::Host& filter_host() { return filter_host_; }
  /// For one head at a time, during a callback.
  [[nodiscard]] std::span<http::HeaderField> field_scratch() { return field_scratch_; }
  /// The current Date header's value; made once a second.
  [[nodiscard]] std::string_view date();

  [[nodiscard]] Exchange& start_exchange(Client& client);
  /// Frees them at the end of the turn: they may be on the stack now.
  void end_exchange(Exchange& exchange);
  void end_downstream(Downstream& downstream);
  [[nodiscard]] Http2Stream& make_http2_stream(Http2Connection& connection, int32_t id, GenerationRef generation);
  void end_http2_stream(Http2Stream& stream);
  /// Nobody holds it any more.
  void end_generation(Generation& generation);

 private:
  [[nodiscard]] std::shared_ptr<store::Store> store_for(const Publication& publication, size_t index);
  [[nodiscard]] std::shared_ptr<filter::WorkerInstance> plugin_for(const Generation& generation, size_t index);
  [[nodiscard]] GenerationRef make_generation(std::shared_ptr<const Publication> publication);
  void refuse(ListenerSlot slot, int fd, Reason reason);
  void sweep();

  event::Loop& loop_;
  stats::Shard& shard_;
  Share share_;
  Farewell farewell_;
  std::function<void()> on_empty_;
  bool draining_ = false;
  Random random_;
  event::PipePool pipes_;
  filter::Host filter_host_;
  std::vector<http::HeaderField> field_scratch_;
  std::vector<ListenerSeries> listener_series_;  // by slot
  GenerationRef current_;
  Slab<Downstream> downstream_slab_;
  Slab<Exchange> exchange_slab_;
  Slab<Http2Stream> http2_stream_slab_;
  event::Timer sweep_timer_;
  IntrusiveList<Downstream, DownstreamTag> downstreams_;
  int64_t date_second_ = -1;
  char date_[29];
};

}  // namespace sluice::proxy
