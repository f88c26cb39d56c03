#include "proxy/engine.h"

#include <unistd.h>

#include <algorithm>

#include "http/serializer.h"
#include "proxy/problem.h"

namespace sluice::proxy {

namespace {
constexpr size_t kMaxResponseFields = 256;

size_t most_fields(const snapshot::Snapshot& snapshot) {
  size_t most = kMaxResponseFields;
  for (const auto& listener : snapshot.listeners) most = std::max<size_t>(most, listener.head.fields);
  return most;
}
}  // namespace

Engine::Engine(event::Loop& loop, stats::Shard& shard, std::shared_ptr<const snapshot::Snapshot> snapshot,
               std::shared_ptr<const Series> series, AccessLog* access_log, uint32_t max_connections)
    : loop_(loop),
      shard_(shard),
      snapshot_(std::move(snapshot)),
      series_(std::move(series)),
      access_log_(access_log),
      max_connections_(max_connections),
      field_scratch_(most_fields(*snapshot_)) {
  const upstream::PoolShared shared{loop_, shard_, random_, field_scratch_};
  for (size_t i = 0; i < snapshot_->clusters.size(); ++i) {
    clusters_.push_back(
        std::make_unique<upstream::Cluster>(shared, snapshot_->clusters[i], series_->clusters[i].endpoints));
  }
}

Engine::~Engine() {
  SL_ASSERT(downstreams_.empty());  // close_all() and one more turn of the loop come first
}

void Engine::accept(uint32_t listener, int fd, const SocketAddress& peer) {
  shard_.add(series_->listeners[listener].accepted);
  if (downstream_slab_.live() >= max_connections_) return refuse(listener, fd, Reason::too_many_connections);
  Downstream* downstream = downstream_slab_.make(*this, listener, peer, is_trusted(peer)).release();
  downstreams_.push_back(*downstream);
  downstream->open(fd);
}

void Engine::count_exhausted(uint32_t listener) {
  shard_.add(stats::pick(series_->listeners[listener].closed, Reason::out_of_descriptors));
}

// The one answer that is written without an exchange: the point is to spend nothing on it.
void Engine::refuse(uint32_t listener, int fd, Reason reason) {
  char body[kMaxProblemBytes];
  const size_t length = write_problem(reason, 503, {}, body);
  char answer[kMaxProblemBytes + 256];
  http::HeadWriter out(answer);
  out.status_line(503, http::phrase_of(503));
  out.field("Content-Type", kProblemType);
  out.field("Content-Length", length);
  out.text("Retry-After: 1\r\nConnection: close\r\n\r\n");
  out.text({body, length});
  [[maybe_unused]] const ssize_t sent = ::send(fd, answer, out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
  shard_.add(stats::pick(series_->listeners[listener].closed, reason));
}

void Engine::close_all() {
  while (!downstreams_.empty()) downstreams_.front().close(Reason::shutting_down);
}

bool Engine::is_trusted(const SocketAddress& peer) const {
  for (const Network& network : snapshot_->trusted_proxies) {
    if (network.contains(peer)) return true;
  }
  return false;
}

std::string_view Engine::date() {
  const int64_t second = loop_.wall() / Seconds(1);
  if (second != date_second_) {
    http::write_http_date(second, date_);
    date_second_ = second;
  }
  return {date_, sizeof(date_)};
}

Exchange& Engine::start_exchange(Downstream& downstream) { return *exchange_slab_.make(*this, downstream).release(); }

void Engine::end_exchange(Exchange& exchange) {
  loop_.at_turn_end(
      [](void* raw) {
        auto* ended = static_cast<Exchange*>(raw);
        ended->engine().exchange_slab_.reclaim(ended);
      },
      &exchange);
}

void Engine::end_downstream(Downstream& downstream) {
  downstream.unlink();
  loop_.at_turn_end(
      [](void* raw) {
        auto* ended = static_cast<Downstream*>(raw);
        ended->engine().downstream_slab_.reclaim(ended);
      },
      &downstream);
}

}  // namespace sluice::proxy
