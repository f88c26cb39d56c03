#include "upstream/member.h"

#include <netinet/in.h>

#include "base/strings.h"

namespace sluice::upstream {

namespace {

// The name that the configuration gives it, else that of the endpoint, else its IP address.
std::string server_name_of(const snapshot::ClusterSpec& cluster, const snapshot::EndpointSpec& endpoint) {
  if (!cluster.tls) return {};
  if (!cluster.tls->server_name.empty()) return cluster.tls->server_name;
  if (!endpoint.host.empty()) return endpoint.host;
  // The one name that is an address without DNS.
  if (iequals(std::string_view(endpoint.name).substr(0, endpoint.name.rfind(':')), "localhost")) return "localhost";
  char ip[INET6_ADDRSTRLEN];
  return {ip, endpoint.address.write_ip(ip)};
}

}  // namespace

std::shared_ptr<const Members> members_of(const snapshot::ClusterSpec& cluster, stats::Registry& registry,
                                          const AddressesOf& addresses_of) {
  auto members = std::make_shared<Members>();
  const auto add = [&](const SocketAddress& address, const std::string& name, const snapshot::EndpointSpec& endpoint) {
    auto hold = std::make_shared<stats::SeriesHold>(registry);
    const EndpointSeries series = EndpointSeries::intern(*hold, cluster.name, name, cluster.tls.has_value(),
                                                         cluster.protocol != snapshot::Protocol::http1);
    members->push_back({address, name, endpoint.weight, series, std::move(hold), server_name_of(cluster, endpoint)});
  };
  for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
    if (endpoint.host.empty()) {
      add(endpoint.address, endpoint.name, endpoint);
      continue;
    }
    for (const SocketAddress& resolved : addresses_of(endpoint.host)) {
      const SocketAddress address = resolved.with_port(endpoint.port);
      add(address, address.to_string(), endpoint);
    }
  }
  return members;
}

}  // namespace sluice::upstream
