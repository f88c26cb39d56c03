// Server: the admin listener: health, figures and configuration over a small and strict HTTP/1.1, for
// operators, probes and Prometheus. Runs on the control thread's loop, so that nothing here can slow a
// request down. Owned by main; ends when destroyed, outside of its own callbacks. What it can tell stands in
// endpoints.cc.
#pragma once

#include <memory>
#include <vector>

#include "admin/connection.h"
#include "admin/endpoints.h"
#include "admin/sources.h"
#include "base/result.h"
#include "event/listener.h"
#include "event/loop.h"
#include "snapshot/spec.h"

namespace sluice::admin {

class Server final : private event::Listener::Handler {
 public:
  static constexpr size_t kMaxConnections = 64;  // further ones get 503

  /// `socket` is used if there is one; else the address is opened.
  static Result<std::unique_ptr<Server>> start(event::Loop& loop, const snapshot::AdminSpec& spec, Sources sources,
                                               std::shared_ptr<event::ListenSocket> socket = nullptr);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Where it listens (port 0 resolved).
  [[nodiscard]] const SocketAddress& address() const { return listener_->address(); }
  [[nodiscard]] const std::shared_ptr<event::ListenSocket>& socket() const { return listener_->socket(); }
  [[nodiscard]] size_t connections() const { return connections_.size(); }
  [[nodiscard]] const snapshot::AdminSpec& spec() const { return spec_; }
  void change_token(std::string token) { gate_.token = std::move(token); }
  /// A reload is over: who waits for it gets its answer.
  void on_reloaded();

 private:
  friend class Connection;
  Server(event::Loop& loop, const snapshot::AdminSpec& spec, Sources sources);

  void on_accept(int fd, const SocketAddress& peer) override;
  void on_accept_exhausted() override {}  // the connection was closed; probes try again

  Response answer(const Request& request) const { return admin::answer(request, gate_, sources_); }
  /// Closes the connection and frees it at the end of the turn.
  void remove(Connection& connection);

  event::Loop& loop_;
  snapshot::AdminSpec spec_;
  Gate gate_;
  Sources sources_;
  stats::SeriesId refused_;
  std::unique_ptr<event::Listener> listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace sluice::admin
