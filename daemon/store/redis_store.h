// RedisStore: a Store kept by one Redis server, by the master that sentinels name, or by a Redis cluster. One for each worker,
// on its loop's thread; dies before its loop, and not from inside a callback.
//
// All commands of a loop turn go to one connection of their server and leave in one write when the turn ends, so they are
// carried out in the order of submit(); those of different turns need not be. While the first attempt to connect is under
// way commands wait; after that they fail at once while their server is away. A command whose connection breaks after it was
// sent fails with store_timeout: nobody knows whether it was carried out.
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
#include "store/store.h"

namespace sluice::store {

class RedisStore final : public Store, private RedisConnection::User {
 public:
  /// Connects at once. `options` has at least one address, and is checked already.
  RedisStore(event::Loop& loop, RedisOptions options);
  ~RedisStore() override;
  RedisStore(const RedisStore&) = delete;
  RedisStore& operator=(const RedisStore&) = delete;

  void submit(const Command& command, Call* call) override;
  [[nodiscard]] bool available() const override;
  [[nodiscard]] const RedisFigures& figures() const { return figures_; }

 private:
  // One server, and our connections to it.
  struct Node {
    SocketAddress address;
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

  void add_node(const SocketAddress& address);
  [[nodiscard]] Node* node_of(uint16_t slot) const;
  [[nodiscard]] RedisConnection* choose(Node& node);
  [[nodiscard]] static bool is_untried(const Node& node);
  void park(RedisRequest& request, std::string bytes);
  void send_parked();

  bool send_again(RedisConnection& connection, RedisRequest& request, std::string_view error);
  void answer(RedisRequest& request, const Outcome& outcome);
  void fail(RedisRequest& request, Reason reason);
  void fail_at_once(Call* call, Reason reason);
  void count_failure(Reason reason);
  void on_deadline();
  void flush();
  void complain(const std::string& text);

  event::Loop& loop_;
  const RedisOptions options_;
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
  event::Timer parked_timer_;

  std::vector<std::unique_ptr<Node>> nodes_;
  bool closing_ = false;
  std::string complaint_;         // the last one logged since the store was whole
  MonoTime next_error_logged_{};  // answers to commands: a client may cause them
};

}  // namespace sluice::store
