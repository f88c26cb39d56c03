#include "proxy/engine.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "http/serializer.h"
#include "proxy/problem.h"
#include "store/redis_store.h"

namespace sluice::proxy {

namespace {
// Enough for every response, and for every request that HeadLimits::fields can allow.
constexpr size_t kMaxFields = 1000 + http2::kAddedFields;  // the most that a listener may allow
constexpr Millis kSweepPeriod{1000};
// A chunk costs the kernel some 20 us, 70 us the largest: so much at a time, that no request waits a millisecond for it.
constexpr size_t kChunksPerSweep = 8;
constexpr Millis kSweepPause{10};
}  // namespace

Engine::Engine(event::Loop& loop, stats::Shard& shard, std::shared_ptr<const Publication> publication, Share share,
               Farewell farewell)
    : loop_(loop),
      shard_(shard),
      share_(share),
      farewell_(std::move(farewell)),
      filter_host_(loop, shard),
      field_scratch_(kMaxFields),
      sweep_timer_(
          loop.timers(), [](void* self) { static_cast<Engine*>(self)->sweep(); }, this) {
  current_ = make_generation(std::move(publication));
  sweep_timer_.set(loop_.now() + kSweepPeriod);
}

Engine::~Engine() {
  SL_ASSERT(downstreams_.empty());  // close_all() and one more turn of the loop come first
}

// --- generations ---

GenerationRef Engine::make_generation(std::shared_ptr<const Publication> publication) {
  GenerationRef made(*new Generation{*this, std::move(publication), {}, {}, {}});
  const snapshot::Snapshot& snapshot = made->snapshot();
  const Series& series = made->series();
  const upstream::PoolShared shared{loop_, shard_, random_, field_scratch_};
  made->clusters.reserve(snapshot.clusters.size());
  for (size_t i = 0; i < snapshot.clusters.size(); ++i) {
    const uint32_t kept = made->publication->kept_clusters[i];
    made->clusters.push_back(
        kept != Publication::kNone
            ? current_->clusters[kept]
            : std::make_shared<upstream::Cluster>(shared, snapshot.clusters[i], *made->publication->members[i]));
  }
  for (size_t i = 0; i < snapshot.stores.size(); ++i) made->stores.push_back(store_for(*made->publication, i));
  for (size_t i = 0; i < snapshot.plugins.size(); ++i) made->plugins.push_back(plugin_for(*made, i));
  listener_series_.resize(made->publication->slots.size());
  for (uint32_t i = 0; i < snapshot.listeners.size(); ++i) {
    listener_series_[made->publication->slot_of(i)] = series.listeners[i];
  }
  return made;
}

std::shared_ptr<store::Store> Engine::store_for(const Publication& publication, size_t index) {
  if (publication.memory_stores[index] != nullptr) return publication.memory_stores[index];
  if (const uint32_t kept = publication.kept_stores[index]; kept != Publication::kNone) return current_->stores[kept];
  const snapshot::StoreSpec& spec = publication.snapshot->stores[index];
  return std::make_shared<store::RedisStore>(
      loop_, store::RedisOptions{.name = spec.name,
                                 .mode = static_cast<store::RedisOptions::Mode>(spec.redis.mode),
                                 .addresses = publication.store_addresses[index],
                                 .master_name = spec.redis.master_name,
                                 .db = spec.redis.db,
                                 .username = spec.redis.username,
                                 .password = spec.redis.password,
                                 .connections = spec.redis.connections,
                                 .timeout = spec.redis.timeout,
                                 .tls = spec.redis.tls ? spec.redis.tls->context : nullptr,
                                 .tls_server_name = spec.redis.tls ? spec.redis.tls->server_name : std::string(),
                                 .health = publication.store_health[index]});
}

// An instance that the configuration kept keeps its state on this worker too; its stores and upstreams may be others now.
std::shared_ptr<filter::WorkerInstance> Engine::plugin_for(const Generation& generation, size_t index) {
  const snapshot::Snapshot& snapshot = generation.snapshot();
  const filter::Instance& instance = *snapshot.plugins[index].instance;
  std::shared_ptr<filter::WorkerInstance> plugin;
  if (current_) {
    for (const auto& known : current_->plugins) {
      if (&known->instance() == &instance) plugin = known;
    }
  }
  const bool is_new = plugin == nullptr;
  if (is_new) {
    plugin = std::make_shared<filter::WorkerInstance>(filter_host_, instance, generation.series().plugins[index]);
  }
  std::vector<filter::WorkerStore> stores;
  for (const std::string& name : instance.stores) {
    const auto named = std::find_if(snapshot.stores.begin(), snapshot.stores.end(),
                                    [&](const snapshot::StoreSpec& spec) { return spec.name == name; });
    const auto at = static_cast<size_t>(named - snapshot.stores.begin());
    stores.push_back({generation.stores[at], generation.series().stores[at]});
  }
  plugin->set_stores(std::move(stores));
  std::vector<std::shared_ptr<upstream::Cluster>> upstreams;
  for (const std::string& name : instance.upstreams) {
    const auto named = std::find_if(snapshot.clusters.begin(), snapshot.clusters.end(),
                                    [&](const snapshot::ClusterSpec& spec) { return spec.name == name; });
    upstreams.push_back(generation.clusters[static_cast<size_t>(named - snapshot.clusters.begin())]);
  }
  plugin->set_upstreams(std::move(upstreams));
  if (is_new) plugin->start();
  return plugin;
}

void Engine::adopt(std::shared_ptr<const Publication> publication, Share share) {
  share_ = share;
  GenerationRef before = std::exchange(current_, make_generation(std::move(publication)));
  std::vector<bool> kept(before->clusters.size());
  for (const uint32_t index : current_->publication->kept_clusters) {
    if (index != Publication::kNone) kept[index] = true;
  }
  for (size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i]) before->clusters[i]->retire();
  }
  const bool other_trust = before->snapshot().trusted_proxies != current_->snapshot().trusted_proxies;
  for (Downstream& downstream : downstreams_) {
    if (is_parting(downstream.slot())) downstream.part(before);
    if (other_trust) downstream.set_trusted(is_trusted(downstream.peer()));
  }
}

void Engine::set_store_addresses(uint32_t store, std::vector<SocketAddress> addresses) {
  static_cast<store::RedisStore&>(*current_->stores[store]).set_addresses(std::move(addresses));
}

void Engine::set_members(uint32_t cluster, const upstream::Members& members) {
  current_->clusters[cluster]->set_members(members);
}

void Engine::end_generation(Generation& generation) {
  std::shared_ptr<const Publication> publication = std::move(generation.publication);
  delete &generation;
  if (farewell_) farewell_(std::move(publication));
}

void GenerationRef::let_go() {
  Generation* generation = std::exchange(generation_, nullptr);
  if (generation != nullptr && --generation->holders == 0) generation->engine.end_generation(*generation);
}

// --- connections ---

void Engine::accept(ListenerSlot slot, int fd, const SocketAddress& peer) {
  shard_.add(listener_series_[slot].accepted);
  if (downstream_slab_.live() >= share_.max_connections) return refuse(slot, fd, Reason::too_many_connections);
  Downstream* downstream = downstream_slab_.make(*this, slot, peer, is_trusted(peer)).release();
  downstreams_.push_back(*downstream);
  downstream->open(fd);
}

void Engine::count_exhausted(ListenerSlot slot) {
  shard_.add(stats::pick(listener_series_[slot].closed, Reason::out_of_descriptors));
}

void Engine::drain(bool on) {
  draining_ = on;
  if (!on) return;
  for (Downstream& downstream : downstreams_) downstream.part(current_);
}

// To spend nothing on it is the point; who speaks TLS would not understand an answer in the clear.
void Engine::refuse(ListenerSlot slot, int fd, Reason reason) {
  if (!current_->listener(slot)->tls) send_problem(fd, reason);
  ::close(fd);
  shard_.add(stats::pick(listener_series_[slot].closed, reason));
}

void Engine::close_all() {
  while (!downstreams_.empty()) downstreams_.front().shut_down();
}

bool Engine::is_trusted(const SocketAddress& peer) const {
  for (const Network& network : current_->snapshot().trusted_proxies) {
    if (network.contains(peer)) return true;
  }
  return false;
}

// What a peak has left in the pools goes back to the system.
void Engine::sweep() {
  size_t budget = kChunksPerSweep;
  loop_.blocks().sweep(loop_.now(), budget);
  downstream_slab_.sweep(loop_.now(), budget);
  exchange_slab_.sweep(loop_.now(), budget);
  http2_stream_slab_.sweep(loop_.now(), budget);
  for (size_t i = 0; i < current_->stores.size(); ++i) {
    if (current_->publication->memory_stores[i] != nullptr) continue;
    static_cast<store::RedisStore&>(*current_->stores[i]).sweep(loop_.now(), budget);
  }
  if (share_.access_log != nullptr) share_.access_log->sweep();
  sweep_timer_.set(loop_.now() + (budget == 0 ? kSweepPause : kSweepPeriod));
}

std::string_view Engine::date() {
  const int64_t second = loop_.wall() / Seconds(1);
  if (second != date_second_) {
    http::write_http_date(second, date_);
    date_second_ = second;
  }
  return {date_, sizeof(date_)};
}

Exchange& Engine::start_exchange(Client& client) { return *exchange_slab_.make(*this, client).release(); }

void Engine::end_exchange(Exchange& exchange) {
  loop_.at_turn_end(
      [](void* raw) {
        auto* ended = static_cast<Exchange*>(raw);
        ended->engine().exchange_slab_.reclaim(ended);
      },
      &exchange);
}

Http2Stream& Engine::make_http2_stream(Http2Connection& connection, int32_t id, GenerationRef generation) {
  return *http2_stream_slab_.make(connection, id, std::move(generation)).release();
}

void Engine::end_http2_stream(Http2Stream& stream) {
  loop_.at_turn_end(
      [](void* raw) {
        auto* ended = static_cast<Http2Stream*>(raw);
        ended->engine().http2_stream_slab_.reclaim(ended);
      },
      &stream);
}

void Engine::end_downstream(Downstream& downstream) {
  downstream.unlink();
  loop_.at_turn_end(
      [](void* raw) {
        auto* ended = static_cast<Downstream*>(raw);
        Engine& engine = ended->engine();
        engine.downstream_slab_.reclaim(ended);
        if (engine.empty() && engine.on_empty_) std::exchange(engine.on_empty_, nullptr)();
      },
      &downstream);
}

}  // namespace sluice::proxy
