#include "worker/worker.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "base/log.h"

namespace sluice::worker {

Worker::Worker(uint32_t index, const WorkerParts& parts) : index_(index), pin_(parts.snapshot->process.pin_cpus) {
  if (parts.log_ring != nullptr) {
    access_log_ = std::make_unique<proxy::AccessLog>(parts.log_format, *parts.log_ring, index + 1);
  }
  const snapshot::ProcessSpec& process = parts.snapshot->process;
  const uint32_t share = std::max(1u, (process.max_connections + process.workers - 1) / process.workers);
  engine_ = std::make_unique<proxy::Engine>(loop_, parts.registry.shard(index), parts.snapshot, parts.series,
                                            access_log_.get(), share);
  for (uint32_t i = 0; i < parts.snapshot->listeners.size(); ++i) {
    doors_.push_back(std::make_unique<Door>(*engine_, i));
  }
}

Worker::~Worker() { stop(); }

Result<void> Worker::listen(std::vector<SocketAddress>& addresses) {
  SL_ASSERT(addresses.size() == doors_.size());
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i].family() == AF_UNIX && index_ != 0) continue;
    auto opened = event::Listener::open(loop_, addresses[i], *doors_[i]);
    if (!opened) return opened.error();
    addresses[i] = (*opened)->address();
    listeners_.push_back(std::move(*opened));
  }
  return {};
}

void Worker::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index_)).c_str());
    if (pin_) pin_to_cpu();
    loop_.run();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop_.post([this] {
    listeners_.clear();
    engine_->close_all();
    loop_.stop();
  });
  thread_.join();
}

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
