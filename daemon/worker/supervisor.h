// Supervisor: all workers of the process and the writer of their access log. Lives on the control thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/log_writer.h"
#include "worker/worker.h"

namespace sluice::worker {

class Supervisor {
 public:
  /// Makes one worker per ProcessSpec::workers; `registry` has as many shards.
  Supervisor(std::shared_ptr<const snapshot::Snapshot> snapshot, stats::Registry& registry);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Opens the log and all listening sockets, then starts the threads. False: nothing runs, and `error` tells the user why.
  [[nodiscard]] bool start(std::string& error);
  /// Ends every connection, joins the workers, writes out the log. Idempotent.
  void stop();

  /// Where the listeners really listen, in the snapshot's order; after start().
  [[nodiscard]] const std::vector<SocketAddress>& addresses() const { return addresses_; }
  /// nullptr if the access log is off.
  [[nodiscard]] const proxy::LogWriter* log_writer() const { return log_writer_.get(); }

 private:
  bool start_log(std::string& error);

  std::shared_ptr<const snapshot::Snapshot> snapshot_;
  stats::Registry& registry_;
  std::shared_ptr<const proxy::Series> series_;
  proxy::LogFormat log_format_;
  std::unique_ptr<proxy::LogWriter> log_writer_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<SocketAddress> addresses_;
};

}  // namespace sluice::worker
