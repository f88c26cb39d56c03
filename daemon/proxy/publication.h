// Publication: what the control thread hands to every worker when a configuration takes effect: the snapshot, and what is
// made of it once for all workers. Immutable; the last worker that lets go of it sends it home to be freed (Engine).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/access_log_format.h"
#include "proxy/series.h"
#include "snapshot/snapshot.h"
#include "store/memory_store.h"
#include "store/store_health.h"
#include "upstream/member.h"

namespace sluice::proxy {

/// A listener's number: its name keeps it from one publication to the next, whatever its place in the snapshot. It is given to
/// another listener when no publication that has this one is left. A connection whose listener is gone holds one that has it
/// (Downstream::part), so that neither its slot nor its series become another's under it.
using ListenerSlot = uint32_t;

struct Publication {
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit Publication(stats::Registry& registry) : hold(registry) {}

  std::shared_ptr<const snapshot::Snapshot> snapshot;
  stats::SeriesHold hold;  // on those that stand in:
  Series series;
  LogFormat log_format;
  /// The listeners' names, by the snapshot's index. Publications that have a listener share it, and so keep its slot.
  std::vector<std::shared_ptr<const std::string>> listener_names;
  /// By slot: the listener's name, or nothing once no publication is left that has the listener; and its index in the
  /// snapshot (kNone: this snapshot has it no more).
  std::vector<std::weak_ptr<const std::string>> slots;
  std::vector<uint32_t> listener_of_slot;
  /// By the snapshot's index of a cluster: the index that the same cluster, unchanged, has in the publication before, or
  /// kNone. Such a cluster keeps its pools and what it knows of its endpoints.
  std::vector<uint32_t> kept_clusters;
  /// By the same index: its servers when this was made. Kept clusters have theirs, and DNS may change them later
  /// (Engine::set_members).
  std::vector<std::shared_ptr<const upstream::Members>> members;

  /// By the snapshot's index of a store: the one store that all workers share, which keeps what it holds from one
  /// publication to the next; nullptr: each worker has a client of its own (Redis).
  std::vector<std::shared_ptr<store::MemoryStore>> memory_stores;
  /// By the same index: as kept_clusters, for Redis; and its servers when this was made.
  std::vector<uint32_t> kept_stores;
  std::vector<std::vector<SocketAddress>> store_addresses;
  /// By the same index: what the workers together know of a Redis store; nullptr: it is in memory.
  std::vector<std::shared_ptr<store::StoreHealth>> store_health;

  [[nodiscard]] ListenerSlot slot_of(uint32_t listener) const;

  /// `before` may be nullptr. Fails, with `error` in words, if the access log's format cannot be compiled.
  static std::shared_ptr<const Publication> make(std::shared_ptr<const snapshot::Snapshot> snapshot,
                                                 stats::Registry& registry, const upstream::AddressesOf& addresses_of,
                                                 const Publication* before, std::string& error);
  /// The servers of a Redis store now; names without an address have none.
  static std::vector<SocketAddress> addresses_of(const snapshot::StoreSpec& store,
                                                 const upstream::AddressesOf& addresses_of);
};

}  // namespace sluice::proxy
