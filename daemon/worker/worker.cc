#include "worker/worker.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "base/log.h"

namespace sluice::worker {

Worker::Worker(uint32_t index, stats::Shard& shard, const Assignment& first, proxy::Engine::Farewell farewell)
    : index_(index),
      workers_(first.publication->snapshot->process.workers),
      pin_(first.publication->snapshot->process.pin_cpus) {
  engine_ = std::make_unique<proxy::Engine>(loop_, shard, first.publication, share_of(first), std::move(farewell));
  open_doors(first);
}

Worker::~Worker() { stop(); }

bool Worker::Door::open(event::Loop& loop, const std::shared_ptr<event::ListenSocket>& socket) {
  auto watched = event::Listener::watch(loop, socket, *this);
  if (!watched) return false;
  listener_ = std::move(*watched);
  return true;
}

// The access log's line is written when a request ends, in the format of that moment.
proxy::Engine::Share Worker::share_of(const Assignment& next) {
  const proxy::Publication& publication = *next.publication;
  access_log_.reset();
  if (next.log_ring != nullptr && publication.log_format.kind() != proxy::LogFormat::Kind::off) {
    access_log_ = std::make_unique<proxy::AccessLog>(publication.log_format, *next.log_ring, index_ + 1);
  }
  const uint32_t connections = publication.snapshot->process.max_connections;
  return {access_log_.get(), std::max(1u, (connections + workers_ - 1) / workers_)};
}

void Worker::open_doors(const Assignment& next) {
  std::vector<std::unique_ptr<Door>> open;
  for (const Assignment::Socket& each : next.sockets) {
    const auto same = std::find_if(doors_.begin(), doors_.end(), [&](const auto& door) {
      return door != nullptr && door->listener().socket() == each.socket;
    });
    if (same != doors_.end()) {
      (*same)->lead_to(each.slot);
      open.push_back(std::move(*same));
    } else if (auto door = std::make_unique<Door>(*engine_, each.slot); door->open(loop_, each.socket)) {
      open.push_back(std::move(door));
    }
  }
  std::swap(doors_, open);
}

void Worker::assign(Assignment next, std::function<void()> on_adopted) {
  loop_.post([this, next = std::move(next), on_adopted = std::move(on_adopted)] {
    adopt(next);
    on_adopted();
  });
}

void Worker::adopt(const Assignment& next) {
  for (const auto& door : doors_) {
    const bool stays = std::any_of(next.sockets.begin(), next.sockets.end(),
                                   [&](const auto& each) { return each.socket == door->listener().socket(); });
    if (!stays) door->listener().accept_pending();  // while its listener is still there to serve them
  }
  engine_->adopt(next.publication, share_of(next));
  open_doors(next);
}

void Worker::close_doors() {
  for (const auto& door : doors_) door->listener().accept_pending();
  doors_.clear();
}

void Worker::set_members(uint32_t cluster, std::shared_ptr<const upstream::Members> members) {
  loop_.post([this, cluster, members = std::move(members)] { engine_->set_members(cluster, *members); });
}

void Worker::set_store_addresses(uint32_t store, std::vector<SocketAddress> addresses) {
  loop_.post([this, store, addresses = std::move(addresses)]() mutable {
    engine_->set_store_addresses(store, std::move(addresses));
  });
}

void Worker::drain(bool on) {
  loop_.post([this, on] { engine_->drain(on); });
}

void Worker::finish(std::function<void()> on_empty) {
  loop_.post([this, on_empty = std::move(on_empty)] {
    close_doors();
    engine_->drain(true);
    if (engine_->empty()) return on_empty();
    engine_->on_empty(on_empty);
  });
}

void Worker::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), name().c_str());
    if (pin_) pin_to_cpu();
    loop_.run();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop_.post([this] {
    doors_.clear();
    engine_->on_empty({});
    engine_->close_all();
    loop_.stop();
  });
  thread_.join();
}

Watchdog::Watched Worker::watched() { return {&loop_, thread_.native_handle(), name()}; }

// The n-th of the CPUs that the process may use, so that taskset and cgroups are respected.
void Worker::pin_to_cpu() const {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (sched_getaffinity(0, sizeof(usable), &usable) != 0) return;
  int skip = static_cast<int>(index_) % std::max(1, CPU_COUNT(&usable));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &usable) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one) != 0)
      log::warn("cannot pin worker {} to CPU {}", index_, cpu);
    return;
  }
}

}  // namespace sluice::worker
