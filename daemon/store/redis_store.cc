#include "store/redis_store.h"

#include <algorithm>

#include "base/format.h"
#include "base/log.h"

namespace sluice::store {

namespace {
constexpr Millis kLeastPatience{100};
constexpr Millis kParkedRetry{10};
}  // namespace

RedisStore::RedisStore(event::Loop& loop, RedisOptions options)
    : loop_(loop),
      options_(std::move(options)),
      greeting_{
          .username = options_.username, .password = options_.password, .db = options_.db, .serves_operations = true},
      shared_{loop_, requests_, random_, figures_, digests_, options_},
      turn_end_(std::make_unique<TurnEnd>(TurnEnd{this})),
      deadline_timer_(
          loop.timers(), [](void* self) { static_cast<RedisStore*>(self)->on_deadline(); }, this),
      parked_timer_(
          loop.timers(), [](void* self) { static_cast<RedisStore*>(self)->send_parked(); }, this),
      slots_timer_(
          loop.timers(), [](void* self) { static_cast<RedisStore*>(self)->on_slots_timer(); }, this),
      health_(options_.health != nullptr ? options_.health : std::make_shared<StoreHealth>(options_.name)) {
  if (options_.mode != RedisOptions::Mode::cluster) add_node();
  if (options_.mode == RedisOptions::Mode::sentinel) {
    greeting_.wants_master = true;
    RedisSentinels::User& user = *this;
    sentinels_ = std::make_unique<RedisSentinels>(shared_, options_, user);
  }
  set_addresses(options_.addresses);
}

void RedisStore::set_addresses(std::vector<SocketAddress> addresses) {
  if (addresses.empty()) return;
  options_.addresses = std::move(addresses);
  Node* const only = options_.mode == RedisOptions::Mode::cluster ? nullptr : nodes_.front().get();
  switch (options_.mode) {
    case RedisOptions::Mode::single:
      if (only->address == options_.addresses.front()) return;
      connect(*only, options_.addresses.front());
      return health_.update(available());
    case RedisOptions::Mode::sentinel:
      if (is_ready(*only)) return;  // they are asked when there is a reason
      master_unknown_ = only->address.length() == 0;
      sentinels_->ask();
      return;
    case RedisOptions::Mode::cluster:
      for (const auto& node : nodes_) node->seed = false;
      for (const SocketAddress& address : options_.addresses) node_at(address).seed = true;
      return;
  }
}

RedisStore::~RedisStore() {
  closing_ = true;
  for (const auto& node : nodes_) {
    for (const auto& connection : node->connections) connection->close();
  }
  while (!parked_.empty()) fail(parked_.pop_front(), Reason::store_unavailable);
  if (!turn_end_->scheduled) return;
  turn_end_->store = nullptr;
  turn_end_.release();  // freed when its turn is over
}

RedisStore::Node& RedisStore::add_node() {
  Node& node = *nodes_.emplace_back(std::make_unique<Node>());
  RedisConnection::User& user = *this;
  for (uint32_t i = 0; i < std::max(options_.connections, 1u); ++i) {
    node.connections.push_back(
        std::make_unique<RedisConnection>(shared_, user, greeting_, std::max(options_.timeout, kLeastPatience)));
  }
  return node;
}

void RedisStore::connect(Node& node, const SocketAddress& address) {
  node.address = address;
  for (const auto& connection : node.connections) connection->connect(address);
}

bool RedisStore::is_ready(const Node& node) {
  return std::any_of(node.connections.begin(), node.connections.end(), [](const auto& c) { return c->ready(); });
}

bool RedisStore::available() const {
  if (options_.mode != RedisOptions::Mode::cluster) return is_ready(*nodes_.front());
  return !slots_.empty() &&
         std::all_of(nodes_.begin(), nodes_.end(), [](const auto& node) { return !node->member || is_ready(*node); });
}

RedisStore::Node* RedisStore::node_of(uint16_t slot) const {
  if (options_.mode != RedisOptions::Mode::cluster) return nodes_.front().get();
  return slots_.empty() ? nullptr : slots_[slot];
}

// The one with the fewest commands under way, and then the next in turn; once chosen it serves the whole turn.
RedisConnection* RedisStore::choose(Node& node) {
  const uint64_t turn = loop_.turns();
  auto& connections = node.connections;
  if (node.turn == turn && connections[node.current]->ready()) return connections[node.current].get();
  RedisConnection* best = nullptr;
  const size_t last = node.current;
  for (size_t i = 1; i <= connections.size(); ++i) {
    const size_t index = (last + i) % connections.size();
    RedisConnection& candidate = *connections[index];
    if (!candidate.ready() || (best != nullptr && candidate.queued() >= best->queued())) continue;
    best = &candidate;
    node.current = index;
  }
  node.turn = turn;
  return best;
}

// Whether whoever serves the slot may turn out to be there any moment: nobody has been found missing yet.
bool RedisStore::may_wait(uint16_t slot) const {
  const auto untried = [](const Node& node) {
    return std::any_of(node.connections.begin(), node.connections.end(), [](const auto& c) { return c->untried(); });
  };
  if (master_unknown_) return true;
  if (const Node* node = node_of(slot)) return untried(*node);
  return slots_.empty() &&
         std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& node) { return untried(*node) || is_ready(*node); });
}

void RedisStore::submit(const Command& command, Call* call) {
  if (!is_possible(command)) return fail_at_once(call, Reason::store_refused);
  if (closing_) return fail_at_once(call, Reason::store_unavailable);
  const uint16_t slot = options_.mode == RedisOptions::Mode::cluster ? slot_of(command.key) : 0;
  Node* node = node_of(slot);
  RedisConnection* connection = node != nullptr ? choose(*node) : nullptr;
  const bool waits = connection == nullptr && may_wait(slot);
  if (connection == nullptr && !waits) return fail_at_once(call, Reason::store_unavailable);
  const size_t bytes = command.key.size() + command.value.size() + command.expected.size();
  const size_t queued = connection != nullptr ? connection->queued_bytes() : parked_bytes_;
  if (figures_.in_flight >= options_.max_in_flight || (queued > 0 && queued + bytes > options_.max_queued_bytes)) {
    return fail_at_once(call, Reason::store_full);
  }

  RedisRequest& request = *requests_.make(RedisRequest::Kind::operation).release();
  request.operation = command.operation;
  request.slot = slot;
  request.deadline = loop_.now() + options_.timeout;
  if (call != nullptr) call->wait_for(request);
  deadlines_.push_back(request);
  if (!deadline_timer_.is_set()) deadline_timer_.set(request.deadline);
  ++figures_.commands;
  ++figures_.in_flight;
  if (waits) {
    std::string parked;
    append_command(parked, command, digests_);
    return park(request, std::move(parked));
  }
  connection->queue(request, [&](std::string& out) { append_command(out, command, digests_); });
}

void RedisStore::fail_at_once(Call* call, Reason reason) {
  count_failure(reason);
  if (call != nullptr) call->answer({.kind = Outcome::Kind::failed, .reason = reason});
}

void RedisStore::count_failure(Reason reason) {
  switch (reason) {
    case Reason::store_timeout: ++figures_.timeouts; return;
    case Reason::store_lost: ++figures_.lost; return;
    case Reason::store_refused: ++figures_.refused; return;
    case Reason::store_full: ++figures_.full; return;
    default: ++figures_.unavailable; return;
  }
}

// The request is in no queue any more, and ends here. One that is in no list of deadlines has had its answer: it came too late.
void RedisStore::answer(RedisRequest& request, const Outcome& outcome) {
  auto& in_deadlines = static_cast<ListNode<DeadlineTag>&>(request);
  if (in_deadlines.linked()) {
    in_deadlines.unlink();
    --figures_.in_flight;
    if (outcome.kind == Outcome::Kind::failed) count_failure(outcome.reason);
    request.Call::Ticket::answer(outcome);
  }
  requests_.reclaim(&request);
}

void RedisStore::fail(RedisRequest& request, Reason reason) {
  answer(request, {.kind = Outcome::Kind::failed, .reason = reason});
}

// Who is on its way stays in the queue of its connection: its reply comes, late, and must be taken for what it is.
void RedisStore::on_deadline() {
  while (!deadlines_.empty() && deadlines_.front().deadline <= loop_.now()) {
    RedisRequest& request = deadlines_.front();
    if (request.connection == nullptr) {  // parked, so nobody has seen it
      static_cast<ListNode<QueueTag>&>(request).unlink();
      parked_bytes_ -= request.parked.size();
      fail(request, Reason::store_unavailable);
      continue;
    }
    static_cast<ListNode<DeadlineTag>&>(request).unlink();
    --figures_.in_flight;
    count_failure(Reason::store_timeout);
    request.connection->note_overdue();
    request.Call::Ticket::answer({.kind = Outcome::Kind::failed, .reason = Reason::store_timeout});
  }
  if (!deadlines_.empty()) deadline_timer_.set(deadlines_.front().deadline);
}

void RedisStore::park(RedisRequest& request, std::string bytes) {
  request.connection = nullptr;
  request.parked = std::move(bytes);
  parked_bytes_ += request.parked.size();
  parked_.push_back(request);
  if (!parked_timer_.is_set()) parked_timer_.set(loop_.now() + kParkedRetry);
}

void RedisStore::send_parked() {
  RedisQueue waiting;
  waiting.take_all(parked_);
  parked_bytes_ = 0;
  while (!waiting.empty()) {
    RedisRequest& request = waiting.pop_front();
    Node* node = node_of(request.slot);
    if (RedisConnection* connection = node != nullptr ? choose(*node) : nullptr) {
      connection->queue(request, [&](std::string& out) { out += request.parked; });
      request.parked.clear();
    } else {
      park(request, std::move(request.parked));
    }
  }
}

void RedisStore::on_ready(RedisConnection&) {
  health_.update(available());
  if (options_.mode == RedisOptions::Mode::cluster && slots_stale_) refresh_slots();
  send_parked();
}

void RedisStore::on_lost(RedisConnection& connection, std::string_view why) {
  health_.complain(fmt::format("{}: {}", connection.address().to_string(), why), available());
  if (sentinels_) sentinels_->ask();
  if (options_.mode != RedisOptions::Mode::cluster) return;
  refresh_slots();
}

void RedisStore::on_master(const SocketAddress& address) {
  Node& node = *nodes_.front();
  const bool same = !master_unknown_ && node.address == address;
  master_unknown_ = false;
  if (same) return health_.update(available());  // its connections are trying as it is
  log::info("store {}: the sentinels say that the master is {}", options_.name, address.to_string());
  connect(node, address);
  health_.update(available());
}

void RedisStore::on_no_master(std::string_view why) {
  master_unknown_ = false;
  health_.complain(why, available());
}

void RedisStore::on_lost_request(RedisRequest& request, bool sent) {
  if (&request == slots_request_) slots_request_ = nullptr;
  fail(request, sent ? Reason::store_lost : Reason::store_unavailable);
}

void RedisStore::on_reply(RedisConnection& connection, RedisRequest& request, const Reply& reply) {
  if (request.kind != RedisRequest::Kind::operation) {
    if (request.kind == RedisRequest::Kind::cluster_slots) on_slots(connection, request, reply);
    return requests_.reclaim(&request);
  }
  if (reply.is_error() && send_again(connection, request, reply.text())) return;
  const std::optional<Outcome> outcome = outcome_of(request.operation, reply);
  if (reply.is_error()) health_.remark(fmt::format("{}: {}", connection.address().to_string(), reply.text()));
  if (!outcome) {
    fail(request, Reason::store_refused);
    return connection.reconnect("what it answered is not valid");
  }
  const bool demoted = sentinels_ && reply.is_error() && reply.text().starts_with("READONLY ");
  answer(request, *outcome);
  if (demoted) connection.reconnect("it is not the master any more");
}

// True if the request goes on, or needs to go no further.
bool RedisStore::send_again(RedisConnection& connection, RedisRequest& request, std::string_view error) {
  if (options_.mode == RedisOptions::Mode::cluster && redirect(connection, request, error)) return true;
  if (!error.starts_with("NOSCRIPT ")) return false;
  const std::optional<std::string> bytes = with_script_text(connection.bytes_of(request), request.operation);
  if (!bytes) return false;
  ++figures_.script_reloads;
  connection.queue(request, [&](std::string& out) { out += *bytes; });
  return true;
}

void RedisStore::on_output(RedisConnection&) {
  if (std::exchange(turn_end_->scheduled, true)) return;
  loop_.at_turn_end(
      [](void* raw) {
        auto* end = static_cast<TurnEnd*>(raw);
        if (end->store == nullptr) {
          delete end;
        } else {
          end->scheduled = false;
          end->store->flush();
        }
      },
      turn_end_.get());
}

void RedisStore::flush() {
  for (const auto& node : nodes_) {
    for (const auto& connection : node->connections) connection->flush();
  }
}

}  // namespace sluice::store
