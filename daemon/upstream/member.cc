#include "upstream/member.h"

namespace sluice::upstream {

std::shared_ptr<const Members> members_of(const snapshot::ClusterSpec& cluster, stats::Registry& registry,
                                          const AddressesOf& addresses_of) {
  auto members = std::make_shared<Members>();
  for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
    if (endpoint.host.empty()) {
      members->push_back({endpoint.address, endpoint.name, endpoint.weight,
                          EndpointSeries::intern(registry, cluster.name, endpoint.name)});
      continue;
    }
    for (const ResolvedAddress& resolved : addresses_of(endpoint.host)) {
      const SocketAddress address = resolved.address.with_port(endpoint.port);
      const std::string name = address.to_string();
      const std::string& label = resolved.has_series ? name : endpoint.name;
      members->push_back({address, name, endpoint.weight, EndpointSeries::intern(registry, cluster.name, label)});
    }
  }
  return members;
}

}  // namespace sluice::upstream
