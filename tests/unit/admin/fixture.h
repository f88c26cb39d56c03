// A small gateway's worth of sources for the admin pages: two listeners' figures, three routes, two
// upstreams.
#pragma once

#include <atomic>
#include <memory>

#include "admin/sources.h"

namespace sluice::admin::test {

inline snapshot::RouteSpec route(const char* name, const char* path, snapshot::Action action) {
  snapshot::RouteSpec spec;
  spec.name = name;
  spec.source = "sluice.yaml:7";
  spec.match.path = path;
  spec.action = action;
  return spec;
}

inline std::shared_ptr<const snapshot::Snapshot> small_snapshot() {
  auto snapshot = std::make_shared<snapshot::Snapshot>();
  snapshot->redacted_yaml = "version: 1\nadmin: {token: \"***\"}\n";
  for (const char* name : {"users", "users-v2"}) {
    snapshot::ClusterSpec cluster;
    cluster.name = name;
    cluster.endpoints.push_back({*SocketAddress::parse("127.0.0.1:9001"), "127.0.0.1:9001", 2});
    snapshot->clusters.push_back(cluster);
  }
  auto users = route("users", "/users/{id:int}", snapshot::Action::proxy);
  users.match.hosts = {"api.example.com", "*.example.org"};
  users.match.methods = http::method_bit(http::Method::GET) | http::method_bit(http::Method::PUT);
  users.split = {{0, 95}, {1, 5}};
  users.split_total = 100;
  auto files = route("files", "/{path...}", snapshot::Action::static_files);
  files.files.make().root = "/srv/<www>";
  snapshot->routes = {users, route("ok", "/ok", snapshot::Action::respond), files};
  return snapshot;
}

/// What a Server's Sources point to; outlives it.
struct Gateway {
  stats::Registry registry{1};
  std::shared_ptr<const snapshot::Snapshot> snapshot = small_snapshot();
  std::atomic<bool> ready{true};
  std::atomic<size_t> away{SIZE_MAX};  // the store that cannot be reached
  std::atomic<int> refreshes{0};

  std::atomic<int> reloads{0};
  ReloadReport report;
  const upstream::Discovery* discovery = nullptr;

  Sources sources() {
    return {.registry = registry,
            .current = [this] { return snapshot; },
            .ready = [this] { return ready.load(); },
            .store_available = [this](size_t i) { return i != away.load(); },
            .refresh = [this] { ++refreshes; },
            .reload = [this] { return ready.load() && ++reloads > 0; },
            .last_reload = [this]() -> const ReloadReport& { return report; },
            .drain = [this](bool on) { ready = !on; },
            .discovery = discovery,
            .dns_servers = [] { return "127.0.0.1:53"; },
            .version = "1.2.3"};
  }
};

}  // namespace sluice::admin::test
