#include "cli/run.h"

#include <sys/resource.h>

#include <csignal>

#include "admin/server.h"
#include "base/log.h"
#include "event/signals.h"
#include "stats/process.h"
#include "worker/supervisor.h"

namespace sluice::cli {

namespace {

// Each proxied connection is two descriptors; the soft limit of most systems (1024) is far too low for a gateway.
void raise_descriptor_limit(uint32_t max_connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const uint64_t wanted = uint64_t{max_connections} * 2;
  if (limit.rlim_cur < wanted) {
    log::warn("process.max_connections is {}, which may need {} file descriptors; the limit is {} (LimitNOFILE)",
              max_connections, wanted, limit.rlim_cur);
  }
}

// Figures that are stated when somebody asks, rather than counted as they happen.
void state_figures(stats::Registry& registry, const snapshot::Snapshot& snapshot,
                   const worker::Supervisor& supervisor) {
  stats::Shard& shard = registry.control();
  shard.set(registry.intern(stats::Family::workers), snapshot.process.workers);
  shard.set(registry.intern(stats::Family::config_generation), 1);
  if (const proxy::LogWriter* writer = supervisor.log_writer()) {
    shard.set(registry.intern(stats::Family::access_log_dropped), writer->dropped_lines() + writer->lost_lines());
  }
}

std::string listed(const std::vector<SocketAddress>& addresses) {
  std::string text;
  for (const SocketAddress& address : addresses) {
    if (!text.empty()) text += ", ";
    text += address.to_string();
  }
  return text;
}

}  // namespace

int run_gateway(std::shared_ptr<const snapshot::Snapshot> snapshot, const RunOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit(snapshot->process.max_connections);
  stats::Registry registry(snapshot->process.workers);
  stats::ProcessFigures figures(registry, options.version);
  worker::Supervisor supervisor(snapshot, registry);
  event::Loop loop;
  bool ready = false;
  event::Signals signals(loop, {SIGTERM, SIGINT}, [&](int number) {
    log::info("got {}: ending", number == SIGTERM ? "SIGTERM" : "SIGINT");
    ready = false;
    loop.stop();
  });

  std::unique_ptr<admin::Server> admin;
  if (snapshot->admin.enabled) {
    auto started = admin::Server::start(loop, snapshot->admin,
                                        {.registry = registry,
                                         .current = [&] { return snapshot; },
                                         .ready = [&] { return ready; },
                                         .refresh =
                                             [&] {
                                               figures.refresh();
                                               state_figures(registry, *snapshot, supervisor);
                                             },
                                         .version = options.version});
    if (!started) {
      log::error("the admin listener {} cannot be opened: {}", snapshot->admin.address.to_string(),
                 started.error().detail);
      return 1;
    }
    admin = std::move(*started);
  }
  std::string error;
  if (!supervisor.start(error)) {
    log::error("{}", error);
    return 1;
  }
  ready = true;
  log::info("sluice {} listens on {}; admin on {}; {} workers, {} routes, {} upstreams", options.version,
            listed(supervisor.addresses()), admin ? admin->address().to_string() : "nothing", snapshot->process.workers,
            snapshot->routes.size(), snapshot->clusters.size());
  loop.run();
  supervisor.stop();
  log::info("ended");
  log::flush();
  return 0;
}

}  // namespace sluice::cli
