#include "worker/supervisor.h"

#include <algorithm>
#include <system_error>

#include "base/format.h"
#include "base/log.h"

namespace sluice::worker {

Supervisor::Supervisor(event::Loop& control, stats::Registry& registry, upstream::AddressesOf addresses_of)
    : control_(control), registry_(registry), addresses_of_(std::move(addresses_of)) {}

Supervisor::~Supervisor() { stop(); }

bool Supervisor::start(std::shared_ptr<const snapshot::Snapshot> first, std::vector<NamedSocket> inherited,
                       std::string& error) {
  worker_count_ = first->process.workers;
  inherited_ = std::move(inherited);
  publication_ = proxy::Publication::make(std::move(first), registry_, addresses_of_, nullptr, error);
  std::vector<Bound> bound;
  if (publication_ == nullptr || !open_log(current()->access_log, error) || !bind(*current(), bound, error)) {
    return false;
  }
  std::swap(bound_, bound);
  for (const NamedSocket& unused : inherited_) {
    log::warn("the socket \"{}\" that was passed on listens on {}, as no listener of the configuration does: closed",
              unused.name, unused.socket->address().to_string());
  }
  inherited_.clear();
  const auto farewell = [this](std::shared_ptr<const proxy::Publication> publication) {
    control_.post([this, publication = std::move(publication)]() mutable {
      const bool last = publication.use_count() == 1;
      publication.reset();
      if (last && on_freed_) on_freed_();
    });
  };
  for (uint32_t i = 0; i < worker_count_; ++i) {
    workers_.push_back(std::make_unique<Worker>(i, registry_.shard(i), assignment(i), farewell));
  }
  for (const auto& worker : workers_) worker->start();
  return true;
}

bool Supervisor::publish(std::shared_ptr<const snapshot::Snapshot> next, std::function<void()> on_adopted,
                         std::string& error) {
  std::vector<Bound> bound;
  auto publication = proxy::Publication::make(std::move(next), registry_, addresses_of_, publication_.get(), error);
  if (publication == nullptr || !bind(*publication->snapshot, bound, error)) return false;
  if (!open_log(publication->snapshot->access_log, error)) return false;
  publication_ = std::move(publication);
  std::swap(bound_, bound);
  const std::function<void()> report = when_all(std::move(on_adopted));
  for (size_t i = 0; i < workers_.size(); ++i) workers_[i]->assign(assignment(i), report);
  return true;
}

std::function<void()> Supervisor::when_all(std::function<void()> then) {
  // Touched on the control thread only: the workers' reports come as letters.
  auto waiting = std::make_shared<size_t>(workers_.size());
  return [&control = control_, waiting, then = std::move(then)] {
    control.post([waiting, then] {
      if (--*waiting == 0) then();
    });
  };
}

// A letter to each worker, behind those that assigned the publication whose index it names.
void Supervisor::on_resolved(const std::string& host) {
  if (publication_ == nullptr) return;
  const std::vector<snapshot::ClusterSpec>& clusters = current()->clusters;
  for (uint32_t i = 0; i < clusters.size(); ++i) {
    const auto& endpoints = clusters[i].endpoints;
    if (std::none_of(endpoints.begin(), endpoints.end(), [&](const auto& each) { return each.host == host; })) continue;
    const auto members = upstream::members_of(clusters[i], registry_, addresses_of_);
    for (const auto& worker : workers_) worker->set_members(i, members);
  }
  const std::vector<snapshot::StoreSpec>& stores = current()->stores;
  for (uint32_t i = 0; i < stores.size(); ++i) {
    const auto& servers = stores[i].redis.servers;
    if (std::none_of(servers.begin(), servers.end(), [&](const auto& each) { return each.host == host; })) continue;
    const auto addresses = proxy::Publication::addresses_of(stores[i], addresses_of_);
    for (const auto& worker : workers_) worker->set_store_addresses(i, addresses);
  }
}

void Supervisor::sweep_stores() {
  if (publication_ == nullptr) return;
  for (const auto& store : publication_->memory_stores) {
    if (store != nullptr) store->sweep();
  }
}

void Supervisor::show_stores() {
  if (publication_ == nullptr) return;
  for (size_t i = 0; i < publication_->memory_stores.size(); ++i) {
    const auto& store = publication_->memory_stores[i];
    const std::string& name = current()->stores[i].name;
    stats::SeriesHold hold(registry_);  // what is stated anew whenever somebody reads may be forgotten meanwhile
    if (store == nullptr) {
      registry_.control().set(hold.intern(stats::Family::store_available, {name}), is_available(i) ? 1 : 0);
    } else {
      store::MemorySeries(hold, registry_.control(), name).show(store->figures());
    }
  }
}

bool Supervisor::is_available(size_t store) const {
  if (publication_ == nullptr) return false;
  const auto& health = publication_->store_health[store];
  return health == nullptr || health->available();
}

// --- listening sockets ---

bool Supervisor::bind(const snapshot::Snapshot& next, std::vector<Bound>& bound, std::string& error) {
  for (const snapshot::ListenerSpec& listener : next.listeners) {
    // An address that is listened on already stays open, whatever its listener is called now.
    const auto open = std::find_if(bound_.begin(), bound_.end(), [&](const Bound& each) {
      return each.configured == listener.address &&
             (each.configured.port() != 0 || each.listener == listener.name || each.configured.family() == AF_UNIX);
    });
    Bound& made = bound.emplace_back(Bound{listener.name, listener.address, {}});
    if (open != bound_.end()) {
      made.sockets = open->sockets;
    } else if (!bind_listener(listener, made, error)) {
      return false;
    }
  }
  return true;
}

// Inherited sockets if there are any; else one for each worker, so that the kernel spreads the connections. A unix socket
// can be bound only once: the workers share it.
bool Supervisor::bind_listener(const snapshot::ListenerSpec& listener, Bound& bound, std::string& error) {
  std::erase_if(inherited_, [&](const NamedSocket& each) {
    const SocketAddress& address = each.socket->address();
    const bool fits = each.name == listener.name && address.family() == listener.address.family() &&
                      (address.port() == listener.address.port() || listener.address.port() == 0);
    if (fits) bound.sockets.push_back(each.socket);
    return fits;
  });
  const bool is_unix = listener.address.family() == AF_UNIX;
  const size_t wanted = is_unix || !bound.sockets.empty() ? 1 : worker_count_;
  while (bound.sockets.size() < wanted) {
    const SocketAddress& address = bound.sockets.empty() ? listener.address : bound.sockets.front()->address();
    auto opened = event::ListenSocket::open(address);
    if (!opened) {
      error = fmt::format("the listener \"{}\" cannot be opened on {}: {}", listener.name, address.to_string(),
                          opened.error().detail);
      return false;
    }
    bound.sockets.push_back(std::move(*opened));
  }
  return true;
}

// Every socket has a worker, and every worker a socket, whichever there are more of.
Assignment Supervisor::assignment(size_t worker) const {
  Assignment assigned{publication_, {}, log_writer_ ? &log_writer_->ring(worker) : nullptr};
  for (uint32_t listener = 0; listener < bound_.size(); ++listener) {
    const auto& sockets = bound_[listener].sockets;
    const proxy::ListenerSlot slot = publication_->slot_of(listener);
    for (size_t i = worker; i < std::max(worker_count_, sockets.size()); i += worker_count_) {
      assigned.sockets.push_back({slot, sockets[i % sockets.size()]});
    }
  }
  return assigned;
}

std::vector<Watchdog::Watched> Supervisor::watched() const {
  std::vector<Watchdog::Watched> all;
  for (const auto& worker : workers_) all.push_back(worker->watched());
  return all;
}

std::vector<SocketAddress> Supervisor::addresses() const {
  std::vector<SocketAddress> addresses;
  for (const Bound& each : bound_) addresses.push_back(each.sockets.front()->address());
  return addresses;
}

std::vector<NamedSocket> Supervisor::sockets() const {
  std::vector<NamedSocket> all;
  for (const Bound& each : bound_) {
    for (const auto& socket : each.sockets) all.push_back({each.listener, socket});
  }
  return all;
}

// --- the access log ---

bool Supervisor::open_log(const snapshot::AccessLogSpec& spec, std::string& error) {
  if (spec.format == snapshot::AccessLogSpec::Format::off) return true;
  if (log_writer_ == nullptr) {
    auto writer = std::make_unique<proxy::LogWriter>(spec.path, worker_count_);
    if (!writer->start(error)) return false;
    log_writer_ = std::move(writer);
  } else if (spec.path != log_path_) {
    proxy::AccessLogSink next(spec.path);
    if (const int failed = next.open(); failed != 0) {
      error = fmt::format("access log {}: {}", spec.path, std::generic_category().message(failed));
      return false;
    }
    log_writer_->switch_to(std::move(next));
  }
  log_path_ = spec.path;
  return true;
}

// --- the end ---

void Supervisor::drain(bool on) {
  for (const auto& worker : workers_) worker->drain(on);
}

void Supervisor::finish(std::function<void()> on_empty) {
  bound_.clear();
  const std::function<void()> report = when_all(std::move(on_empty));
  for (const auto& worker : workers_) worker->finish(report);
}

void Supervisor::stop() {
  for (auto& worker : workers_) worker->stop();
  workers_.clear();
  bound_.clear();
  if (log_writer_) log_writer_->stop();
}

}  // namespace sluice::worker
