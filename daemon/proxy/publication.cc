#include "proxy/publication.h"

#include <algorithm>
#include <unordered_map>

namespace sluice::proxy {

namespace {

// The slot that the name has, or else a free one. `slots` are the made publication's.
size_t slot_for(const std::string& name, std::vector<std::weak_ptr<const std::string>>& slots) {
  size_t free = slots.size();
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto taken = slots[i].lock();
    if (taken != nullptr && *taken == name) return i;
    if (taken == nullptr) free = std::min(free, i);
  }
  if (free == slots.size()) slots.emplace_back();
  return free;
}

void number_listeners(Publication& made, const Publication* before) {
  if (before != nullptr) made.slots = before->slots;
  const auto& listeners = made.snapshot->listeners;
  for (uint32_t i = 0; i < listeners.size(); ++i) {
    const size_t slot = slot_for(listeners[i].name, made.slots);
    auto name = made.slots[slot].lock();
    if (name == nullptr) made.slots[slot] = name = std::make_shared<const std::string>(listeners[i].name);
    made.listener_names.push_back(std::move(name));
    made.listener_of_slot.resize(made.slots.size(), Publication::kNone);
    made.listener_of_slot[slot] = i;
  }
}

std::vector<uint32_t> unchanged_clusters(const snapshot::Snapshot& now, const Publication* before) {
  std::vector<uint32_t> kept(now.clusters.size(), Publication::kNone);
  if (before == nullptr) return kept;
  const auto& old = before->snapshot->clusters;
  std::unordered_map<std::string_view, uint32_t> by_name;
  for (uint32_t i = 0; i < old.size(); ++i) by_name.emplace(old[i].name, i);
  for (size_t i = 0; i < kept.size(); ++i) {
    const auto same_name = by_name.find(now.clusters[i].name);
    if (same_name != by_name.end() && old[same_name->second] == now.clusters[i]) kept[i] = same_name->second;
  }
  return kept;
}

// A store in memory is known by its name; its size may change.
std::shared_ptr<store::MemoryStore> memory_store(const snapshot::StoreSpec& spec, const Publication* before) {
  if (spec.type != snapshot::StoreSpec::Type::memory) return nullptr;
  for (size_t i = 0; before != nullptr && i < before->memory_stores.size(); ++i) {
    const snapshot::StoreSpec& old = before->snapshot->stores[i];
    if (before->memory_stores[i] == nullptr || old.name != spec.name) continue;
    if (old.evict != spec.evict) before->memory_stores[i]->set_evict(spec.evict);  // before there may be too much
    if (old.max_bytes != spec.max_bytes) before->memory_stores[i]->set_max_bytes(spec.max_bytes);
    return before->memory_stores[i];
  }
  return std::make_shared<store::MemoryStore>(
      store::MemoryStore::Options{.max_bytes = spec.max_bytes, .evict = spec.evict});
}

uint32_t unchanged_store(const snapshot::StoreSpec& spec, const Publication* before) {
  if (before == nullptr) return Publication::kNone;
  const auto& old = before->snapshot->stores;
  const auto same = std::find(old.begin(), old.end(), spec);
  return same == old.end() ? Publication::kNone : static_cast<uint32_t>(same - old.begin());
}

}  // namespace

std::vector<SocketAddress> Publication::addresses_of(const snapshot::StoreSpec& store,
                                                     const upstream::AddressesOf& addresses_of) {
  std::vector<SocketAddress> addresses;
  for (const snapshot::EndpointSpec& server : store.redis.servers) {
    if (server.host.empty()) {
      addresses.push_back(server.address);
      continue;
    }
    for (const SocketAddress& resolved : addresses_of(server.host)) {
      addresses.push_back(resolved.with_port(server.port));
    }
  }
  return addresses;
}

ListenerSlot Publication::slot_of(uint32_t listener) const {
  const auto at = std::find(listener_of_slot.begin(), listener_of_slot.end(), listener);
  return static_cast<ListenerSlot>(at - listener_of_slot.begin());
}

std::shared_ptr<const Publication> Publication::make(std::shared_ptr<const snapshot::Snapshot> snapshot,
                                                     stats::Registry& registry,
                                                     const upstream::AddressesOf& addresses_of,
                                                     const Publication* before, std::string& error) {
  auto made = std::make_shared<Publication>(registry);
  made->snapshot = std::move(snapshot);
  auto format = LogFormat::compile(made->snapshot->access_log, error);
  if (!format) return nullptr;
  made->log_format = std::move(*format);
  made->series = Series::intern(made->hold, *made->snapshot);
  number_listeners(*made, before);
  made->kept_clusters = unchanged_clusters(*made->snapshot, before);
  for (const snapshot::ClusterSpec& cluster : made->snapshot->clusters) {
    made->members.push_back(upstream::members_of(cluster, registry, addresses_of));
  }
  for (const snapshot::StoreSpec& store : made->snapshot->stores) {
    made->memory_stores.push_back(memory_store(store, before));
    const uint32_t kept = unchanged_store(store, before);
    made->kept_stores.push_back(kept);
    made->store_health.push_back(store.type == snapshot::StoreSpec::Type::memory ? nullptr
                                 : kept != Publication::kNone                    ? before->store_health[kept]
                                                              : std::make_shared<store::StoreHealth>(store.name));
    made->store_addresses.push_back(Publication::addresses_of(store, addresses_of));
  }
  return made;
}

}  // namespace sluice::proxy
