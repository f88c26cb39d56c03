#include "proxy/publication.h"

#include <algorithm>
#include <unordered_map>

namespace sluice::proxy {

namespace {

void number_listeners(Publication& made, const Publication* before) {
  if (before != nullptr) made.slots = before->slots;
  made.listener_of_slot.assign(made.slots.size(), Publication::kNone);
  const auto& listeners = made.snapshot->listeners;
  for (uint32_t i = 0; i < listeners.size(); ++i) {
    const auto known = std::find(made.slots.begin(), made.slots.end(), listeners[i].name);
    const auto slot = static_cast<size_t>(known - made.slots.begin());
    if (known == made.slots.end()) {
      made.slots.push_back(listeners[i].name);
      made.listener_of_slot.push_back(i);
    } else {
      made.listener_of_slot[slot] = i;
    }
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

}  // namespace

ListenerSlot Publication::slot_of(uint32_t listener) const {
  const auto at = std::find(listener_of_slot.begin(), listener_of_slot.end(), listener);
  return static_cast<ListenerSlot>(at - listener_of_slot.begin());
}

std::shared_ptr<const Publication> Publication::make(std::shared_ptr<const snapshot::Snapshot> snapshot,
                                                     stats::Registry& registry,
                                                     const upstream::AddressesOf& addresses_of,
                                                     const Publication* before, std::string& error) {
  auto made = std::make_shared<Publication>();
  made->snapshot = std::move(snapshot);
  auto format = LogFormat::compile(made->snapshot->access_log, error);
  if (!format) return nullptr;
  made->log_format = std::move(*format);
  made->series = Series::intern(registry, *made->snapshot);
  number_listeners(*made, before);
  made->kept_clusters = unchanged_clusters(*made->snapshot, before);
  for (const snapshot::ClusterSpec& cluster : made->snapshot->clusters) {
    made->members.push_back(upstream::members_of(cluster, registry, addresses_of));
  }
  return made;
}

}  // namespace sluice::proxy
