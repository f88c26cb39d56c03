// Member: one server of a cluster, as the control thread states it and the workers make an Endpoint of it: a fixed endpoint
// of the configuration, or one address of a name.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "snapshot/spec.h"
#include "upstream/pool.h"

namespace sluice::upstream {

struct Member {
  SocketAddress address;
  std::string name;  // in the log: the endpoint as written, or the name's address
  uint32_t weight = 1;
  EndpointSeries series;
  std::shared_ptr<const stats::SeriesHold> hold;  // on these
  std::string server_name;                        // which its certificate must have; empty without TLS
};
using Members = std::vector<Member>;

/// The addresses that a name has now, with port 0.
using AddressesOf = std::function<std::span<const SocketAddress>(const std::string& host)>;

/// All members of `cluster` now; names without an address have none. Interns series: control thread.
std::shared_ptr<const Members> members_of(const snapshot::ClusterSpec& cluster, stats::Registry& registry,
                                          const AddressesOf& addresses_of);

}  // namespace sluice::upstream
