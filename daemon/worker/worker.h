// Worker: one thread that proxies: its loop, its listening sockets (SO_REUSEPORT), its engine with connections, pools and
// counters. Made, started and stopped by the Supervisor on the control thread; everything inside is the worker thread's.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "event/listener.h"
#include "event/loop.h"
#include "proxy/access_log.h"
#include "proxy/engine.h"

namespace sluice::worker {

/// What the workers of a process share, all of it immutable or safe to use from any thread.
struct WorkerParts {
  std::shared_ptr<const snapshot::Snapshot> snapshot;
  std::shared_ptr<const proxy::Series> series;
  stats::Registry& registry;
  const proxy::LogFormat& log_format;
  proxy::LogRing* log_ring = nullptr;  // this worker's; nullptr: the access log is off
};

class Worker {
 public:
  Worker(uint32_t index, const WorkerParts& parts);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Opens the listening sockets, before start(). `addresses` are one per listener of the snapshot; a port of 0 is replaced
  /// by the one that the kernel chose, so that the next worker binds the same. A unix socket cannot be bound twice: the first
  /// worker alone listens there.
  [[nodiscard]] Result<void> listen(std::vector<SocketAddress>& addresses);
  void start();
  /// Stops accepting, ends all connections and the thread; returns when it has ended. Idempotent.
  void stop();

 private:
  /// Tells the engine through which listener a connection came.
  class Door final : public event::Listener::Handler {
   public:
    Door(proxy::Engine& engine, uint32_t listener) : engine_(engine), listener_(listener) {}
    void on_accept(int fd, const SocketAddress& peer) override { engine_.accept(listener_, fd, peer); }
    void on_accept_exhausted() override { engine_.count_exhausted(listener_); }

   private:
    proxy::Engine& engine_;
    uint32_t listener_;
  };

  void pin_to_cpu() const;

  uint32_t index_;
  bool pin_;
  event::Loop loop_;
  std::unique_ptr<proxy::AccessLog> access_log_;
  std::unique_ptr<proxy::Engine> engine_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::vector<std::unique_ptr<event::Listener>> listeners_;
  std::thread thread_;
};

}  // namespace sluice::worker
