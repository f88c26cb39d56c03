// Worker: one thread that proxies: its loop, its listening sockets (SO_REUSEPORT), its engine with connections, pools and
// counters. Made and told what to do by the Supervisor on the control thread; everything inside is the worker thread's.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "event/listener.h"
#include "event/loop.h"
#include "proxy/access_log.h"
#include "proxy/engine.h"
#include "worker/watchdog.h"

namespace sluice::worker {

/// A configuration as one worker gets it.
struct Assignment {
  struct Socket {
    proxy::ListenerSlot slot;
    std::shared_ptr<event::ListenSocket> socket;
  };
  std::shared_ptr<const proxy::Publication> publication;
  std::vector<Socket> sockets;         // where it accepts; what it watches already and is not here, it closes
  proxy::LogRing* log_ring = nullptr;  // this worker's
};

class Worker {
 public:
  /// `farewell` may be called on the worker's thread.
  Worker(uint32_t index, stats::Shard& shard, const Assignment& first, proxy::Engine::Farewell farewell);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  /// New requests get this from now on. `on_adopted` is called on the worker's thread when it is so.
  void assign(Assignment next, std::function<void()> on_adopted);
  /// A Redis store of what was assigned last has these servers now.
  void set_store_addresses(uint32_t store, std::vector<SocketAddress> addresses);
  /// The same of a cluster.
  void set_members(uint32_t cluster, std::shared_ptr<const upstream::Members> members);
  /// Connections end with their next answer, or not any more.
  void drain(bool on);
  /// Stops accepting for good and drains; `on_empty` is called once, on the worker's thread, when the last connection has ended.
  void finish(std::function<void()> on_empty);
  /// Stops accepting, ends all connections and the thread; returns when it has ended. Idempotent.
  void stop();
  /// For the Watchdog; between start() and stop().
  [[nodiscard]] Watchdog::Watched watched();

  [[nodiscard]] const event::Loop& loop() const { return loop_; }

 private:
  /// A listening socket, and through which listener its connections come.
  class Door final : private event::Listener::Handler {
   public:
    Door(proxy::Engine& engine, proxy::ListenerSlot slot) : engine_(engine), slot_(slot) {}
    [[nodiscard]] bool open(event::Loop& loop, const std::shared_ptr<event::ListenSocket>& socket);
    [[nodiscard]] event::Listener& listener() { return *listener_; }
    void lead_to(proxy::ListenerSlot slot) { slot_ = slot; }

   private:
    void on_accept(int fd, const SocketAddress& peer) override { engine_.accept(slot_, fd, peer); }
    void on_accept_exhausted() override { engine_.count_exhausted(slot_); }

    proxy::Engine& engine_;
    proxy::ListenerSlot slot_;
    std::unique_ptr<event::Listener> listener_;
  };

  void adopt(const Assignment& next);
  void close_doors();
  void open_doors(const Assignment& next);
  [[nodiscard]] proxy::Engine::Share share_of(const Assignment& next);
  void pin_to_cpu() const;
  [[nodiscard]] std::string name() const { return "worker-" + std::to_string(index_); }

  uint32_t index_;
  uint32_t workers_;  // of the process, for as long as it lives
  bool pin_;
  event::Loop loop_;
  std::unique_ptr<proxy::AccessLog> access_log_;
  std::unique_ptr<proxy::Engine> engine_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::thread thread_;
};

}  // namespace sluice::worker
