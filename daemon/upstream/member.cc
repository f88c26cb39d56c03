#include "upstream/member.h"

namespace sluice::upstream {

std::shared_ptr<const Members> members_of(const snapshot::ClusterSpec& cluster, stats::Registry& registry,
                                          const AddressesOf& addresses_of) {
  auto members = std::make_shared<Members>();
  const auto add = [&](const SocketAddress& address, const std::string& name, uint32_t weight) {
    auto hold = std::make_shared<stats::SeriesHold>(registry);
    const EndpointSeries series = EndpointSeries::intern(*hold, cluster.name, name);
    members->push_back({address, name, weight, series, std::move(hold)});
  };
  for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
    if (endpoint.host.empty()) {
      add(endpoint.address, endpoint.name, endpoint.weight);
      continue;
    }
    for (const SocketAddress& resolved : addresses_of(endpoint.host)) {
      const SocketAddress address = resolved.with_port(endpoint.port);
      add(address, address.to_string(), endpoint.weight);
    }
  }
  return members;
}

}  // namespace sluice::upstream
