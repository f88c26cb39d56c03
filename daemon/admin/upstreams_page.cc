// /upstreams: where requests go, and how each endpoint does.
#include "admin/pages.h"
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

void append_endpoint(std::string& out, const snapshot::ClusterSpec& cluster, const snapshot::EndpointSpec& endpoint,
                     const stats::Registry& registry) {
  out += "{\"name\":" + json_quoted(endpoint.name);
  out += ",\"address\":" + json_quoted(endpoint.address.to_string());
  out += ",\"weight\":" + std::to_string(endpoint.weight);
  for (const Figure& figure : kFigures) {
    const auto id = registry.find(figure.family, {cluster.name, endpoint.name});
    out.append(",\"").append(figure.key).append("\":");
    stats::append_number(out, stats::row(figure.family), id ? registry.value(*id) : 0);
  }
  const auto id = registry.find(Family::upstream_response_time, {cluster.name, endpoint.name});
  out += ",\"response_seconds\":{";
  stats::append_histogram_json(out, stats::row(Family::upstream_response_time),
                               id ? registry.histogram(*id) : stats::HistogramSnapshot());
  out += "}}";
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

std::string upstreams_json(const snapshot::Snapshot& snapshot, const stats::Registry& registry) {
  std::string out = "{\"upstreams\":[";
  for (const snapshot::ClusterSpec& cluster : snapshot.clusters) {
    out += &cluster == &snapshot.clusters.front() ? "\n" : ",\n";
    out += "{\"name\":" + json_quoted(cluster.name) + ",\"balance\":" + json_quoted(name(cluster.balance));
    append_retries(out, cluster, registry);
    out += ",\"endpoints\":[";
    for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
      out += &endpoint == &cluster.endpoints.front() ? "\n  " : ",\n  ";
      append_endpoint(out, cluster, endpoint, registry);
    }
    out += "]}";
  }
  return out + "\n]}\n";
}

}  // namespace sluice::admin
