// Supervisor: all workers of the process, the sockets they listen on, and the writer of their access log. It publishes
// configurations to them, and ends them. Lives on the control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/log_writer.h"
#include "worker/worker.h"

namespace sluice::worker {

/// A listening socket and the name of its listener: what the service manager passes to us, and we to our successor.
struct NamedSocket {
  std::string name;
  std::shared_ptr<event::ListenSocket> socket;
};

class Supervisor {
 public:
  /// `control` is the control thread's loop, `registry` has a shard for each worker; both outlive the Supervisor.
  /// `addresses_of` says what a name of an endpoint stands for.
  Supervisor(event::Loop& control, stats::Registry& registry, upstream::AddressesOf addresses_of);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Opens the log and all listening sockets, then starts one thread per ProcessSpec::workers. `inherited` sockets are used
  /// where name and port fit a listener. False: nothing runs, and `error` tells the user why.
  [[nodiscard]] bool start(std::shared_ptr<const snapshot::Snapshot> first, std::vector<NamedSocket> inherited,
                           std::string& error);
  /// New requests get `next`; `on_adopted` is called on the control thread when that is so everywhere. False: nothing has
  /// changed, and `error` tells the user why.
  [[nodiscard]] bool publish(std::shared_ptr<const snapshot::Snapshot> next, std::function<void()> on_adopted,
                             std::string& error);

  /// `callback` is called on the control thread whenever a configuration that no worker uses any more has been freed there.
  void on_freed(std::function<void()> callback) { on_freed_ = std::move(callback); }

  /// addresses_of(host) has changed: the workers hear of it.
  void on_resolved(const std::string& host);
  /// Memory of what expired in the stores of this process; to be called about once a second.
  void sweep_stores();
  /// States their figures in the registry.
  void show_stores();
  /// Every worker can use the store with this index of current(); true for those in memory.
  [[nodiscard]] bool is_available(size_t store) const;

  /// While on, each client connection ends with its next answer.
  void drain(bool on);
  /// Accepts no more and drains. `on_empty` is called on the control thread when no connection is left.
  void finish(std::function<void()> on_empty);
  /// Ends every connection, joins the workers, writes out the log. Idempotent.
  void stop();

  [[nodiscard]] const std::shared_ptr<const snapshot::Snapshot>& current() const { return publication_->snapshot; }
  /// Where the listeners really listen, in the snapshot's order; after start().
  [[nodiscard]] std::vector<SocketAddress> addresses() const;
  [[nodiscard]] std::vector<NamedSocket> sockets() const;
  [[nodiscard]] const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }
  /// For the Watchdog; between start() and stop().
  [[nodiscard]] std::vector<Watchdog::Watched> watched() const;
  /// nullptr if there has been no access log yet.
  [[nodiscard]] proxy::LogWriter* log_writer() const { return log_writer_.get(); }

 private:
  /// The sockets of one listener.
  struct Bound {
    std::string listener;
    SocketAddress configured;
    std::vector<std::shared_ptr<event::ListenSocket>> sockets;
  };

  [[nodiscard]] bool bind(const snapshot::Snapshot& next, std::vector<Bound>& bound, std::string& error);
  [[nodiscard]] bool bind_listener(const snapshot::ListenerSpec& listener, Bound& bound, std::string& error);
  [[nodiscard]] bool open_log(const snapshot::AccessLogSpec& spec, std::string& error);
  [[nodiscard]] Assignment assignment(size_t worker) const;
  /// A callback for every worker; when all have called it, from their threads, `then` runs on the control thread.
  [[nodiscard]] std::function<void()> when_all(std::function<void()> then);

  event::Loop& control_;
  stats::Registry& registry_;
  upstream::AddressesOf addresses_of_;
  std::function<void()> on_freed_;
  size_t worker_count_ = 0;
  std::shared_ptr<const proxy::Publication> publication_;
  std::vector<NamedSocket> inherited_;  // and not used yet
  std::vector<Bound> bound_;            // in the snapshot's order
  std::unique_ptr<proxy::LogWriter> log_writer_;
  std::string log_path_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace sluice::worker
