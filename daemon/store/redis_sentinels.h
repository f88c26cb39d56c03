// RedisSentinels: asks sentinels where the master is. It talks to one at a time, and asks it again every second, since an old
// master may go on serving for many seconds after another was made, and five times as often while there is none; it goes to the next
// one when that one falls silent, or when its word proves wrong (ask()). Owned by a RedisStore, on its loop's thread.
#pragma once

#include <string>
#include <vector>

#include "store/redis_connection.h"
#include "store/redis_options.h"

namespace sluice::store {

class RedisSentinels final : private RedisConnection::User {
 public:
  class User {
   public:
    /// One sentinel's word, which may be out of date: whoever connects checks it, and asks again.
    virtual void on_master(const SocketAddress& address) = 0;
    /// None of them knew.
    virtual void on_no_master(std::string_view why) = 0;
    /// Whether the master that they named serves.
    [[nodiscard]] virtual bool has_master() const = 0;

   protected:
    ~User() = default;
  };

  RedisSentinels(const RedisShared& shared, const RedisOptions& options, User& user);
  ~RedisSentinels();
  RedisSentinels(const RedisSentinels&) = delete;
  RedisSentinels& operator=(const RedisSentinels&) = delete;

  /// Asks another sentinel, until somebody answers. Does nothing while that is under way.
  void ask();

 private:
  void on_ready(RedisConnection& connection) override;
  void on_reply(RedisConnection& connection, RedisRequest& request, const Reply& reply) override;
  void on_lost(RedisConnection& connection, std::string_view why) override;
  void on_lost_request(RedisRequest& request, bool sent) override;
  void on_output(RedisConnection& connection) override;

  void on_timer();
  void connect();
  void question();
  void try_next(std::string_view why);

  RedisShared shared_;
  const RedisOptions& options_;
  User& user_;
  RedisGreeting greeting_;
  RedisConnection connection_;
  event::Timer timer_;
  bool asking_ = false;
  bool pausing_ = false;       // after an answer, or a round in vain
  size_t current_ = SIZE_MAX;  // the first question goes to the first
  size_t tried_ = 0;           // in this round
};

}  // namespace sluice::store
