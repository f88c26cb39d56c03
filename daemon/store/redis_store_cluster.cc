// RedisStore's way about a cluster: which node has which slot, and what happens when it has it no more.
#include <algorithm>

#include "base/format.h"
#include "store/redis_store.h"

namespace sluice::store {

namespace {
constexpr uint8_t kMaxRedirections = 8;
constexpr Millis kSlotsInterval{100};  // at least, between two questions
constexpr Millis kSlotsPatience{500};
}  // namespace

RedisStore::Node& RedisStore::node_at(const SocketAddress& address) {
  for (const auto& node : nodes_) {
    if (node->address == address) return *node;
  }
  Node& node = add_node();
  connect(node, address);
  return node;
}

// True if the request goes on, elsewhere or later.
bool RedisStore::redirect(RedisConnection& connection, RedisRequest& request, std::string_view error) {
  const bool later = error.starts_with("TRYAGAIN ") || error.starts_with("CLUSTERDOWN ");
  const auto redirection = parse_redirection(error, connection.address());
  if (!later && !redirection) return false;
  if (!redirection || !redirection->ask) refresh_slots();
  if (!static_cast<ListNode<DeadlineTag>&>(request).linked()) return false;  // too late: it ends here
  const std::string_view bytes = connection.bytes_of(request);
  if (later) return park(request, std::string(bytes)), true;
  if (++request.number > kMaxRedirections) return false;

  ++(redirection->ask ? figures_.asked : figures_.moved);
  Node& node = node_at(redirection->address);
  if (!redirection->ask && !slots_.empty()) {
    slots_[redirection->slot] = &node;
    node.member = true;
  }
  RedisConnection* target = choose(node);
  if (target == nullptr) return park(request, std::string(bytes)), true;
  if (redirection->ask) {
    target->queue(*requests_.make(RedisRequest::Kind::asking).release(),
                  [](std::string& out) { CommandWriter(out, 1) << "ASKING"; });
  }
  target->queue(request, [bytes](std::string& out) { out += bytes; });
  return true;
}

// Soon: many commands may find out at once that the map is old.
void RedisStore::refresh_slots() {
  slots_stale_ = true;
  if (slots_request_ != nullptr || slots_timer_.is_set()) return;
  slots_timer_.set(std::max(loop_.now(), slots_asked_at_ + kSlotsInterval));
}

void RedisStore::on_slots_timer() {
  if (slots_request_ != nullptr) {  // it does not answer: let it be found out, and ask another
    slots_request_ = nullptr;
    slots_connection_->note_overdue();
  }
  ask_slots();
}

// Who becomes ready later asks then.
void RedisStore::ask_slots() {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    RedisConnection* connection = choose(*nodes_[slots_turn_++ % nodes_.size()]);
    if (connection == nullptr) continue;
    RedisRequest& request = *requests_.make(RedisRequest::Kind::cluster_slots).release();
    slots_request_ = &request;
    slots_connection_ = connection;
    slots_asked_at_ = loop_.now();
    slots_timer_.set(loop_.now() + kSlotsPatience);
    return connection->queue(request, [](std::string& out) {
      CommandWriter(out, 2) << "CLUSTER"
                            << "SLOTS";
    });
  }
}

void RedisStore::on_slots(const RedisConnection& connection, const RedisRequest& request, const Reply& reply) {
  if (&request != slots_request_) return;  // given up
  slots_request_ = nullptr;
  slots_timer_.cancel();
  const auto ranges = parse_slots(reply, connection.address());
  if (!ranges || ranges->empty()) {
    health_.complain(fmt::format("{}: {}", connection.address().to_string(),
                                 reply.is_error() ? reply.text() : "it does not know who has which slots"),
                     available());
    return refresh_slots();
  }
  slots_stale_ = false;
  adopt_slots(*ranges);
  retire_nodes();
  health_.update(available());
  send_parked();
}

void RedisStore::adopt_slots(const std::vector<SlotRange>& ranges) {
  for (const auto& node : nodes_) node->member = false;
  slots_.assign(kSlots, nullptr);
  for (const SlotRange& range : ranges) {
    Node& node = node_at(range.master);
    node.member = true;
    std::fill(slots_.begin() + range.first, slots_.begin() + range.last + 1, &node);
  }
}

// Nodes that have no slots any more; one that still owes answers stays until the next map. The addresses from the options
// stay, since they are where a lost cluster is found again.
void RedisStore::retire_nodes() {
  for (size_t i = nodes_.size(); i-- > 0;) {
    const auto& connections = nodes_[i]->connections;
    const bool owes =
        std::any_of(connections.begin(), connections.end(), [](const auto& c) { return c->queued() > 0; });
    if (nodes_[i]->member || nodes_[i]->seed || owes) continue;
    for (const auto& connection : connections) connection->close();
    loop_.defer_delete(std::move(nodes_[i]));  // one of its connections may be what called us
    nodes_.erase(nodes_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

}  // namespace sluice::store
