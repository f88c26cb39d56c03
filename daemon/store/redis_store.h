// RedisStore: a Store kept by one Redis server, by the master that sentinels name, or by a Redis cluster. One for each worker,
// on its loop's thread; dies before its loop, and not from inside a callback.
//
// All commands of a loop turn go to one connection of their server and leave in one write when the turn ends, so they are
// carried out in the order of submit(), but for one that has to be sent again; those of different turns need not be. While the
// first attempt to connect is under way commands wait; after that they fail at once while their server is away. A command
// whose connection breaks after it was sent fails with store_lost: nobody knows whether it was carried out.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/slab.h"
#include "event/loop.h"
#include "store/redis_connection.h"
#include "store/redis_options.h"
#include "store/redis_sentinels.h"
#include "store/store.h"

namespace sluice::store {

class RedisStore final : public Store, private RedisConnection::User, private RedisSentinels::User {
 public:
  /// Connects at once, or when set_addresses() brings the first address. `options` is checked already.
  RedisStore(event::Loop& loop, RedisOptions options);
  ~RedisStore() override;
  RedisStore(const RedisStore&) = delete;
  RedisStore& operator=(const RedisStore&) = delete;

  /// The addresses behind the names of options.addresses are others now. What was known stays in use if this is empty.
  void set_addresses(std::vector<SocketAddress> addresses);

  void submit(const Command& command, Call* call) override;
  [[nodiscard]] bool available() const override;
  [[nodiscard]] const RedisFigures& figures() const { return figures_; }
  /// See CellPool::sweep.
  void sweep(MonoTime now, size_t& budget) { requests_.sweep(now, budget); }

 private:
  // One server, and our connections to it.
  struct Node : event::Deferred {
    SocketAddress address;
    bool seed = false;    // cluster: named by the options
    bool member = false;  // cluster: slots are there
    std::vector<std::unique_ptr<RedisConnection>> connections;
    size_t current = 0;  // the connection of this turn
    uint64_t turn = 0;   // when that was chosen
  };
  // Outlives the store until the turn that it was scheduled in is over.
  struct TurnEnd {
    RedisStore* store;
    bool scheduled = false;
  };

  // RedisConnection::User
  void on_ready(RedisConnection& connection) override;
  void on_reply(RedisConnection& connection, RedisRequest& request, const Reply& reply) override;
  void on_lost(RedisConnection& connection, std::string_view why) override;
  void on_lost_request(RedisRequest& request, bool sent) override;
  void on_output(RedisConnection& connection) override;

  // RedisSentinels::User
  void on_master(const SocketAddress& address) override;
  void on_no_master(std::string_view why) override;
  [[nodiscard]] bool has_master() const override { return available(); }

  Node& add_node();
  static void connect(Node& node, const SocketAddress& address);
  [[nodiscard]] Node* node_of(uint16_t slot) const;
  [[nodiscard]] RedisConnection* choose(Node& node);
  [[nodiscard]] bool may_wait(uint16_t slot) const;
  [[nodiscard]] static bool is_ready(const Node& node);
  void park(RedisRequest& request, std::string bytes);
  void send_parked();

  bool send_again(RedisConnection& connection, RedisRequest& request, std::string_view error);

  // A cluster: redis_store_cluster.cc.
  [[nodiscard]] Node& node_at(const SocketAddress& address);
  bool redirect(RedisConnection& connection, RedisRequest& request, std::string_view error);
  void refresh_slots();
  void ask_slots();
  void on_slots_timer();
  void on_slots(const RedisConnection& connection, const RedisRequest& request, const Reply& reply);
  void adopt_slots(const std::vector<SlotRange>& ranges);
  void retire_nodes();

  void answer(RedisRequest& request, const Outcome& outcome);
  void fail(RedisRequest& request, Reason reason);
  void fail_at_once(Call* call, Reason reason);
  void count_failure(Reason reason);
  void on_deadline();
  void flush();

  event::Loop& loop_;
  RedisOptions options_;
  RedisGreeting greeting_;
  Random random_;
  RedisFigures figures_;
  ScriptDigests digests_;
  Slab<RedisRequest> requests_;
  RedisShared shared_;
  std::unique_ptr<TurnEnd> turn_end_;

  // Every operation has the same time, so the order of submit() is that of the deadlines.
  IntrusiveList<RedisRequest, DeadlineTag> deadlines_;
  event::Timer deadline_timer_;
  RedisQueue parked_;
  size_t parked_bytes_ = 0;
  event::Timer parked_timer_;

  std::vector<std::unique_ptr<Node>> nodes_;  // not a cluster: one
  std::unique_ptr<RedisSentinels> sentinels_;
  bool master_unknown_ = false;  // no sentinel has answered yet, and not all were asked in vain

  std::vector<Node*> slots_;  // cluster: kSlots of them once they are known; nullptr: nobody's
  const RedisRequest* slots_request_ = nullptr;
  RedisConnection* slots_connection_ = nullptr;
  bool slots_stale_ = true;
  MonoTime slots_asked_at_{};
  size_t slots_turn_ = 0;  // whom to ask next
  event::Timer slots_timer_;

  bool closing_ = false;
  StoreHealth::Member health_;
};

}  // namespace sluice::store
