// Pool: one worker's connections to one endpoint. Idle ones are lent last-in first-out (the warmest first); when none is idle
// a new one is opened up to pool.max_open, and who finds no room waits in a bounded queue. Of HTTP/2 each is lent to several at a time,
// and another one is opened only when none has room. Owns its connections. A closed
// peer is noticed by the readiness that is armed on idle connections anyway. With a PROXY protocol a connection is lent only to the
// client that it told of (Introductions), and gives way if it idles while another client has none. Worker thread only.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/intrusive_list.h"
#include "base/random.h"
#include "event/loop.h"
#include "http/message.h"
#include "http/proxy_protocol.h"
#include "snapshot/spec.h"
#include "stats/registry.h"
#include "tls/client_context.h"
#include "upstream/connection.h"
#include "upstream/introductions.h"

namespace sluice::upstream {

/// The series that one endpoint counts in; the same for all workers.
struct EndpointSeries {
  stats::SeriesId requests, opened, reused, active, streams, idle, pending, connect_failures, response_time;
  stats::SeriesId closed;          // a run, by reason
  stats::SeriesId tls_handshakes;  // a run, by session; without TLS not shown

  static EndpointSeries intern(stats::SeriesHold& hold, std::string_view cluster, std::string_view endpoint, bool tls,
                               bool http2 = false);
};

/// How to speak TLS with an endpoint.
struct EndpointTls {
  std::shared_ptr<const tls::ClientContext> context;  // nullptr: plain bytes
  std::string server_name;                            // which its certificate must have
};

/// What all pools of a worker share.
struct PoolShared {
  event::Loop& loop;
  stats::Shard& shard;
  Random& random;
  std::span<http::HeaderField> field_scratch;  // for one response head at a time, used during a callback only
};

class Pool {
 public:
  struct WaiterTag;
  /// Who wants a connection. Leaves the queue when it is destroyed or cancel() is called.
  class Waiter : public ListNode<WaiterTag> {
   public:
    explicit Waiter(event::Loop& loop);
    /// `carrier` is leased to user() already.
    virtual void on_lease(Carrier& carrier) = 0;
    virtual void on_lease_failed(Error error) = 0;
    virtual Carrier::User& user() = 0;
    [[nodiscard]] virtual http::Method request_method() const = 0;
    /// Whose connection it will be, for an endpoint that wants to be told so. By default nobody's but ours.
    [[nodiscard]] virtual http::ProxyHeader proxy_header() const { return {}; }
    /// Of the one that proxy_header() tells of; nullptr: the connection is for one request.
    [[nodiscard]] virtual Introductions* introductions() const { return nullptr; }

   protected:
    virtual ~Waiter();

   private:
    friend class Pool;
    void leave();
    Pool* pool_ = nullptr;
    const Connection* introduced_by_ = nullptr;  // with a PROXY protocol: the one that began with this one's header
    event::Timer timer_;
  };

  Pool(const PoolShared& shared, const SocketAddress& address, const snapshot::PoolSpec& spec,
       const snapshot::ClusterTimeouts& timeouts, const EndpointSeries& series, EndpointTls tls = {},
       http::ProxyVersion proxy_protocol = http::ProxyVersion::off,
       snapshot::Protocol protocol = snapshot::Protocol::http1);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Lends a connection: returns it at once if one is idle, else nullptr and the waiter hears later; or an error
  /// (pool_queue_full, connect_failed, out_of_descriptors). `fresh`: not an idle one, since those have just proved stale.
  Result<Carrier*> acquire(Waiter& waiter, bool fresh);
  void cancel(Waiter& waiter) { waiter.leave(); }
  /// The exchange is done with the connection: it goes back to the idle ones if it can be used again, else it is closed and
  /// counted under `reason`.
  void release(Connection& connection, Reason reason);

  /// No connection goes back to the pool any more; idle ones are closed now. Who has one or waits for one is served.
  void retire();

  [[nodiscard]] uint32_t open() const { return open_; }
  [[nodiscard]] uint32_t idle() const { return idle_count_; }
  [[nodiscard]] uint32_t pending() const { return pending_; }
  [[nodiscard]] uint32_t leased() const { return leased_; }
  [[nodiscard]] const EndpointSeries& series() const { return series_; }
  [[nodiscard]] const snapshot::ClusterTimeouts& timeouts() const { return timeouts_; }

  /// Which its certificate must have; empty without TLS.
  [[nodiscard]] const std::string& server_name() const { return tls_.server_name; }

  // For Connection.
  [[nodiscard]] bool speaks_tls() const { return tls_.context != nullptr; }
  /// What a connection speaks, if it speaks_tls().
  [[nodiscard]] std::unique_ptr<event::Transport> make_transport(int fd);
  /// Its socket is connected: sends the PROXY header, if the endpoint wants one. False if the connection is gone.
  [[nodiscard]] bool introduce(Connection& connection);
  [[nodiscard]] snapshot::Protocol protocol() const { return protocol_; }
  [[nodiscard]] uint32_t max_streams() const { return spec_.max_streams; }
  void on_connected(Connection& connection);
  void on_connect_failed(Connection& connection, Error error);
  /// The handshake failed, or was done on our side only.
  void on_tls_failed(const char* why);
  void on_idle_closed(Connection& connection, Reason reason);
  void on_idle_over(Connection& connection);
  /// The client that it is for is gone.
  void on_client_gone(Connection& connection);
  /// Its socket is closed, though streams may still hand over what came.
  void on_died(Connection& connection, Reason reason);
  /// One stream of it was given back.
  void on_stream_over(Connection& connection, Reason reason);
  /// It takes more streams than before, or fewer, or no more at all.
  void on_room_changed(Connection& connection);
  void arm_body_timeout(Connection& connection) { connection.arm(timeouts_.idle, Reason::upstream_idle_timeout); }
  [[nodiscard]] std::span<http::HeaderField> field_scratch() const { return shared_.field_scratch; }

 private:
  void enqueue(Waiter& waiter, Millis wait);
  Result<void> open_connection();
  void lend_to_introduced(Connection& connection);
  Connection* find_introduced(const Waiter& waiter);
  [[nodiscard]] bool may_open();
  [[nodiscard]] bool introduces() const { return proxy_protocol_ != http::ProxyVersion::off; }
  [[nodiscard]] Waiter* waiter_of(const Connection* introducer);
  void serve_waiters();
  Carrier& lend(Connection& connection, Waiter& waiter);
  Connection* find_room(const Waiter& waiter);
  [[nodiscard]] bool has_room(Connection& connection) const;
  void place(Connection& connection);
  [[nodiscard]] bool awaits_enough() const;
  void take_from_idle(Connection& connection);
  void keep_or_discard(Connection& connection);
  void make_idle(Connection& connection);
  [[nodiscard]] bool worn_out(const Connection& connection) const;
  [[nodiscard]] Millis idle_for(const Connection& connection) const;
  void count_out(Connection& connection, Reason reason);
  void discard(Connection& connection, Reason reason);

  PoolShared shared_;
  SocketAddress address_;
  snapshot::PoolSpec spec_;
  snapshot::ClusterTimeouts timeouts_;
  EndpointSeries series_;
  EndpointTls tls_;
  snapshot::Protocol protocol_;
  tls::ClientSessions sessions_;
  http::ProxyVersion proxy_protocol_;  // unless off, a connection is for the one that it told of
  MonoTime quiet_until_;               // no TLS failure is logged before
  IntrusiveList<Connection, ConnectionTag> idle_;
  IntrusiveList<Connection, ConnectionTag> roomy_;  // leased, and there is room for more
  IntrusiveList<Connection, ConnectionTag> busy_;   // connecting or leased
  IntrusiveList<Waiter, WaiterTag> waiters_;
  uint32_t streams_expected_;  // of the next connection, by what the ones before it took
  uint32_t open_ = 0;
  uint32_t connecting_ = 0;
  uint32_t leased_ = 0;
  uint32_t idle_count_ = 0;
  uint32_t pending_ = 0;
  bool retired_ = false;
};

}  // namespace sluice::upstream
