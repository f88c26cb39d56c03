// RedisConnection: one socket to one Redis server: makes the connection, greets, keeps what was sent until it is answered,
// matches replies in order, and connects again when it is lost. Owned by a RedisStore (or its sentinels), on the loop's thread.
//
// State       leaves by
// idle        connect() -> connecting
// connecting  connected -> greeting, or securing with TLS; refused or timeout -> waiting
// securing    the handshake is done -> greeting; it failed, the end, or timeout -> waiting
// greeting    the last reply to it -> ready; an error, the end, or timeout -> waiting
// ready       the end, a broken reply, or silence while a reply is overdue -> waiting
// waiting     the back-off is over -> connecting
// In every state: close() -> idle; connect() elsewhere -> connecting.
#pragma once

#include <string>
#include <string_view>

#include "base/intrusive_list.h"
#include "base/random.h"
#include "base/slab.h"
#include "event/loop.h"
#include "event/stream.h"
#include "store/redis_operations.h"
#include "store/redis_options.h"
#include "store/redis_protocol.h"
#include "store/store.h"

namespace sluice::store {

class RedisConnection;
struct QueueTag;
struct DeadlineTag;

/// One command on its way: in the queue of the connection that carries it, or parked until a connection is there.
struct RedisRequest : Call::Ticket, ListNode<QueueTag>, ListNode<DeadlineTag> {
  enum class Kind : uint8_t { operation, hello, select, load_script, trial, asking, cluster_slots, master_address };

  explicit RedisRequest(Kind its_kind) : kind(its_kind) {}

  [[nodiscard]] bool is_greeting() const { return kind >= Kind::hello && kind <= Kind::trial; }

  Kind kind;
  Operation operation = Operation::get;
  uint8_t number = 0;  // operation: how often it was redirected; load_script: which one
  uint16_t slot = 0;   // operation, in a cluster
  MonoTime deadline;   // operation, while it is in the list of deadlines
  RedisConnection* connection = nullptr;
  uint64_t begin = 0;  // where its bytes stand in the connection's output
  size_t bytes = 0;
  std::string parked;  // its bytes, while it is parked
};
using RedisQueue = IntrusiveList<RedisRequest, QueueTag>;

/// Counted by the loop's thread, since the start.
struct RedisFigures {
  uint64_t commands = 0;    // operations sent, each once
  uint64_t writes = 0;      // system calls that sent something
  uint64_t reconnects = 0;  // connections that were lost after they had been ready
  uint64_t script_reloads = 0;
  uint64_t moved = 0;
  uint64_t asked = 0;
  uint64_t unavailable = 0;  // failures, by reason
  uint64_t timeouts = 0;
  uint64_t lost = 0;
  uint64_t refused = 0;
  uint64_t full = 0;
  size_t in_flight = 0;  // now
};

/// What all connections of a store share.
struct RedisShared {
  event::Loop& loop;
  Slab<RedisRequest>& requests;
  Random& random;
  RedisFigures& figures;
  ScriptDigests& digests;
  const RedisOptions& options;
};

/// What is said to a server first.
struct RedisGreeting {
  std::string username;
  std::string password;
  uint32_t db = 0;
  bool serves_operations = false;  // it is told the scripts, and must answer one read before it counts as ready
  bool wants_master = false;
};

class RedisConnection final : private event::Stream::Handler {
 public:
  /// Calls come from the loop; each may close() or connect(), but not destroy, the connection.
  class User {
   public:
    virtual void on_ready(RedisConnection& connection) = 0;
    /// `reply` answers `request`, which is the user's now. Its bytes are in bytes_of() until this returns.
    virtual void on_reply(RedisConnection& connection, RedisRequest& request, const Reply& reply) = 0;
    /// The connection is lost. Comes after on_lost_request() of all that was queued; a new attempt follows by itself.
    virtual void on_lost(RedisConnection& connection, std::string_view why) = 0;
    /// `request` is the user's now. Redis can have seen it only if `sent`.
    virtual void on_lost_request(RedisRequest& request, bool sent) = 0;
    /// There is something to flush() at the end of the turn.
    virtual void on_output(RedisConnection& connection) = 0;

   protected:
    ~User() = default;
  };

  /// `patience`: how long a reply may be overdue in silence before the connection counts as dead.
  RedisConnection(const RedisShared& shared, User& user, const RedisGreeting& greeting, Millis patience);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  /// Connects, now and whenever the connection is lost, until close(). What was queued for another address is lost.
  void connect(const SocketAddress& address);
  /// As if the connection had been lost, `why`.
  void reconnect(std::string_view why);
  void close();

  [[nodiscard]] bool ready() const { return state_ == State::ready; }
  /// The first attempt is under way, so that nobody knows yet whether the server is there.
  [[nodiscard]] bool untried() const {
    return state_ >= State::connecting && state_ <= State::greeting && failures_ == 0;
  }
  [[nodiscard]] const SocketAddress& address() const { return address_; }
  [[nodiscard]] size_t queued() const { return queued_; }
  [[nodiscard]] size_t queued_bytes() const { return output_.size() - released(); }

  /// Queues a request: `write` appends its bytes to the string that it is given.
  template <typename Write>
  void queue(RedisRequest& request, Write&& write) {
    const size_t before = output_.size();
    write(output_);
    queue_written(request, output_.size() - before);
  }
  [[nodiscard]] std::string_view bytes_of(const RedisRequest& request) const {
    return std::string_view(output_).substr(request.begin - output_begin_, request.bytes);
  }
  /// Sends what was queued.
  void flush();
  /// The reply of a request that is queued here did not come in time.
  void note_overdue();

 private:
  enum class State : uint8_t { idle, connecting, securing, greeting, ready, waiting };

  void on_readable() override;
  void on_writable() override;
  void on_error() override;
  void on_timer();

  void start();
  void begin_tls();
  void fail_to_connect(const Error& error);
  void fail_to_talk();
  void greet();
  void on_greeting_reply(const RedisRequest& request, const Reply& reply);
  [[nodiscard]] bool is_master(const Reply& hello) const;
  void take_replies();
  void queue_written(RedisRequest& request, size_t bytes);
  void release_until(uint64_t position);
  [[nodiscard]] size_t released() const { return static_cast<size_t>(released_ - output_begin_); }
  void disconnect();
  [[nodiscard]] Millis back_off();

  RedisShared shared_;
  User& user_;
  const RedisGreeting& greeting_;
  Millis patience_;
  SocketAddress address_;
  event::Stream stream_;
  event::Timer timer_;
  ReplyReader reader_;
  State state_ = State::idle;
  uint32_t failures_ = 0;  // since it was ready
  uint32_t lives_ = 0;     // grows whenever the socket is closed
  uint64_t replies_ = 0;
  uint64_t replies_when_overdue_ = 0;

  // Every command from its first byte to its reply, since one may have to be sent again, elsewhere. The positions count
  // the bytes of one connection.
  std::string output_;
  uint64_t output_begin_ = 0;  // of output_'s first byte
  uint64_t released_ = 0;      // answered before here
  uint64_t sent_ = 0;
  RedisQueue queue_;  // sent or to be sent; in order
  size_t queued_ = 0;
};

}  // namespace sluice::store
