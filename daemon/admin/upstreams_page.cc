// /upstreams: where requests go, how each endpoint does, and what DNS says of its name.
#include "admin/pages.h"
#include "base/format.h"
#include "base/strings.h"
#include "stats/json.h"
#include "stats/number.h"

namespace sluice::admin {

namespace {

using stats::Family;

struct Figure {
  std::string_view key;
  Family family;
};
constexpr Figure kFigures[] = {
    {"requests", Family::upstream_requests},
    {"pending_requests", Family::upstream_pending},
    {"connections_active", Family::upstream_active},
    {"connections_idle", Family::upstream_idle},
    {"connections_opened", Family::upstream_opened},
    {"connections_reused", Family::upstream_reused},
    {"connect_failures", Family::upstream_connect_failures},
};

std::string_view name(snapshot::Balance balance) {
  switch (balance) {
    case snapshot::Balance::round_robin: return "round_robin";
    case snapshot::Balance::random: return "random";
    case snapshot::Balance::least_request: return "least_request";
    case snapshot::Balance::p2c: return "p2c";
  }
  return "";
}

// One server: a fixed endpoint, or an address of the name `host`. Its figures have its name.
struct Server {
  std::string name;
  std::string address;
  std::string host;
  uint32_t weight;
};

std::vector<Server> servers_of(const snapshot::ClusterSpec& cluster, const upstream::Discovery* discovery) {
  std::vector<Server> servers;
  for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
    if (endpoint.host.empty()) {
      servers.push_back({endpoint.name, endpoint.address.to_string(), {}, endpoint.weight});
    } else if (discovery != nullptr) {
      for (const SocketAddress& resolved : discovery->addresses_of(endpoint.host)) {
        const std::string address = resolved.with_port(endpoint.port).to_string();
        servers.push_back({address, address, endpoint.host, endpoint.weight});
      }
    }
  }
  return servers;
}

// The handshakes that succeeded.
void append_tls_figures(std::string& out, const std::string& cluster, const Server& server,
                        const stats::Registry& registry) {
  const auto run = registry.find(Family::upstream_tls_handshakes, {cluster, server.name});
  const auto& sessions = stats::row(Family::upstream_tls_handshakes).last_values;
  out += ",\"tls_handshakes\":{";
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (i > 0) out += ',';
    out += json_quoted(sessions[i]) + ":";
    out += std::to_string(run ? registry.value(pick(*run, static_cast<stats::TlsSession>(i))) : 0);
  }
  out += '}';
}

void append_server(std::string& out, const snapshot::ClusterSpec& spec, const Server& server,
                   const stats::Registry& registry) {
  const std::string& cluster = spec.name;
  out += "{\"name\":" + json_quoted(server.name);
  out += ",\"address\":" + json_quoted(server.address);
  if (!server.host.empty()) out += ",\"dns\":" + json_quoted(server.host);
  out += ",\"weight\":" + std::to_string(server.weight);
  for (const Figure& figure : kFigures) {
    const auto id = registry.find(figure.family, {cluster, server.name});
    out.append(",\"").append(figure.key).append("\":");
    stats::append_number(out, stats::row(figure.family), id ? registry.value(*id) : 0);
  }
  if (spec.tls) append_tls_figures(out, cluster, server, registry);
  const auto id = registry.find(Family::upstream_response_time, {cluster, server.name});
  out += ",\"response_seconds\":{";
  stats::append_histogram_json(out, stats::row(Family::upstream_response_time),
                               id ? registry.histogram(*id) : stats::HistogramSnapshot());
  out += "}}";
}

// What DNS says of a name. Times are seconds from now: the last lookup's is below 0, and so is the next one's while it runs.
void append_name(std::string& out, const snapshot::EndpointSpec& endpoint, const upstream::Discovery* discovery,
                 MonoTime now) {
  const upstream::Discovery::Status* status = discovery == nullptr ? nullptr : discovery->find(endpoint.host);
  out += "{\"name\":" + json_quoted(endpoint.name) + ",\"addresses\":[";
  if (status == nullptr || !status->looked_up) {
    out += "],\"last_lookup_seconds\":null,\"next_lookup_seconds\":null,\"error\":null}";
    return;
  }
  for (const SocketAddress& resolved : status->addresses) {
    if (&resolved != &status->addresses.front()) out += ',';
    out += json_quoted(resolved.with_port(endpoint.port).to_string());
  }
  const auto seconds = [&](MonoTime when) {
    return fmt::format("{:.1f}", std::chrono::duration<double>(when - now).count());
  };
  out += "],\"last_lookup_seconds\":" + seconds(status->last_lookup);
  out += ",\"next_lookup_seconds\":" + seconds(status->next_lookup);
  out += ",\"error\":" + (*status->error == '\0' ? "null" : json_quoted(status->error)) + '}';
}

void append_names(std::string& out, const snapshot::ClusterSpec& cluster, const upstream::Discovery* discovery,
                  MonoTime now) {
  std::string names;
  for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
    if (endpoint.host.empty()) continue;
    names += names.empty() ? "\n  " : ",\n  ";
    append_name(names, endpoint, discovery, now);
  }
  if (!names.empty()) out += ",\"names\":[" + names + ']';
}

// Server names that are not given are those of the endpoints.
void append_tls(std::string& out, const snapshot::ClusterSpec& cluster) {
  if (!cluster.tls) return;
  const std::string& name = cluster.tls->server_name;
  out += ",\"tls\":{\"server_name\":" + (name.empty() ? "null" : json_quoted(name));
  out += cluster.tls->verify ? ",\"verify\":true}" : ",\"verify\":false}";
}

void append_retries(std::string& out, const snapshot::ClusterSpec& cluster, const stats::Registry& registry) {
  const auto run = registry.find(Family::upstream_retries, {cluster.name});
  const auto& kinds = stats::row(Family::upstream_retries).last_values;
  out += ",\"retries\":{";
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (i > 0) out += ',';
    out += json_quoted(kinds[i]) + ":";
    out += std::to_string(run ? registry.value(pick(*run, static_cast<stats::RetryKind>(i))) : 0);
  }
  out += '}';
}

}  // namespace

std::string upstreams_json(const Sources& sources, MonoTime now) {
  const std::shared_ptr<const snapshot::Snapshot> snapshot = sources.current();
  std::string out = "{\"dns_servers\":" + json_quoted(sources.dns_servers ? sources.dns_servers() : "");
  out += ",\"upstreams\":[";
  for (const snapshot::ClusterSpec& cluster : snapshot->clusters) {
    out += &cluster == &snapshot->clusters.front() ? "\n" : ",\n";
    out += "{\"name\":" + json_quoted(cluster.name) + ",\"balance\":" + json_quoted(name(cluster.balance));
    append_tls(out, cluster);
    append_retries(out, cluster, sources.registry);
    append_names(out, cluster, sources.discovery, now);
    out += ",\"endpoints\":[";
    std::string servers;
    for (const Server& server : servers_of(cluster, sources.discovery)) {
      servers += servers.empty() ? "\n  " : ",\n  ";
      append_server(servers, cluster, server, sources.registry);
    }
    out += servers + "]}";
  }
  return out + "\n]}\n";
}

}  // namespace sluice::admin
