#include "admin/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace sluice::admin {

namespace {
// Best effort: what does not fit into the socket's buffer at once is not worth waiting for.
void refuse(int fd) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";
  [[maybe_unused]] const ssize_t sent = ::send(fd, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
}
}  // namespace

Result<std::unique_ptr<Server>> Server::start(event::Loop& loop, const snapshot::AdminSpec& spec, Sources sources,
                                              std::shared_ptr<event::ListenSocket> socket) {
  std::unique_ptr<Server> server(new Server(loop, spec, std::move(sources)));
  // Without SO_REUSEPORT, so that two gateways cannot share the address by mistake.
  auto listener = socket != nullptr ? event::Listener::watch(loop, std::move(socket), *server)
                                    : event::Listener::open(loop, spec.address, *server, false, kMaxConnections);
  if (!listener) return listener.error();
  server->listener_ = std::move(*listener);
  return server;
}

Server::Server(event::Loop& loop, const snapshot::AdminSpec& spec, Sources sources)
    : loop_(loop),
      spec_(spec),
      gate_{spec.token, spec.address.family() != AF_UNIX},
      sources_(std::move(sources)),
      refused_(sources_.registry.intern(stats::Family::admin_refused)) {}

Server::~Server() {
  for (const auto& connection : connections_) connection->close();
}

void Server::on_accept(int fd, const SocketAddress&) {
  if (connections_.size() >= kMaxConnections) {
    sources_.registry.control().add(refused_);
    return refuse(fd);
  }
  auto connection = std::make_unique<Connection>(*this, loop_);
  if (connection->open(fd)) connections_.push_back(std::move(connection));
}

void Server::on_reloaded() {
  const std::vector<std::unique_ptr<Connection>>& all = connections_;
  for (size_t i = all.size(); i-- > 0;) all[i]->on_reloaded(sources_.last_reload());  // may remove itself
}

void Server::remove(Connection& connection) {
  connection.close();
  const auto at = std::find_if(connections_.begin(), connections_.end(),
                               [&](const auto& owned) { return owned.get() == &connection; });
  SL_ASSERT(at != connections_.end());
  loop_.defer_delete(std::move(*at));
  connections_.erase(at);
}

}  // namespace sluice::admin
