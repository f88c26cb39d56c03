// Connection: one HTTP/1.1 connection to an endpoint. It belongs to its Pool and is lent to one exchange at a time (Lease).
// It reads and decodes responses and hands the exchange events; what goes out is written by the exchange's Outbox
// straight to stream(). Worker thread only. Freed by the pool at the end of the turn in which it was closed.
//
// State        leaves by
// connecting   socket ready -> idle, or securing if the endpoint speaks TLS; refused or timeout -> closed (the pool fails a waiter)
// securing     handshake done -> idle; failed or timeout -> closed (the pool fails a waiter)
// idle         lease() -> head; peer closes, sends, or it grew old -> closed
// head         final response head -> body; 101 -> tunnel
// body         last byte -> done
// done         release() -> idle, or closed if it cannot be used again
// tunnel       the exchange closes it
#pragma once

#include "base/buffer.h"
#include "event/loop.h"
#include "event/pipe.h"
#include "event/stream.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/head_scanner.h"
#include "http/message.h"

namespace sluice::upstream {

class Pool;
struct ConnectionTag;

class Connection final : public event::Deferred, public ListNode<ConnectionTag>, private event::Stream::Handler {
 public:
  /// Who leases a connection. Calls come from the loop, never from inside a function of Connection. Any of them may
  /// release or abandon the lease.
  class User {
   public:
    /// 1xx but 101. `head` is valid during the call only, as in on_response_head.
    virtual void on_informational(const http::ResponseHead& head) = 0;
    virtual void on_response_head(const http::ResponseHead& head, const http::ResponseFraming& framing) = 0;
    /// Payload, chunked coding taken off; `data` stays valid until on_upstream_pause_point().
    virtual void on_response_body(std::string_view data) = 0;
    /// `left` bytes of a body of known length are still to come and need not be looked at: a pipe to splice them into, or
    /// nullptr to get them by on_response_body(). Once a pipe was given, the rest of the body takes that way.
    virtual event::Pipe* offer_splice(uint64_t left) = 0;
    /// The response is complete; `trailers` may be empty.
    virtual void on_response_end(const http::HeaderMap& trailers) = 0;
    /// All bytes of this wake-up were handed over: time to write them out.
    virtual void on_upstream_pause_point() = 0;
    virtual void on_upstream_writable() = 0;
    /// The connection is of no more use; abandon the lease.
    virtual void on_upstream_error(Error error) = 0;

   protected:
    ~User() = default;
  };

  Connection(Pool& pool, event::Loop& loop);
  ~Connection() override;

  /// Starts to connect; the pool hears of the outcome.
  [[nodiscard]] Result<void> connect(const SocketAddress& address);

  /// An idle connection begins to serve `user`, whose request has `method`.
  void lease(User& user, http::Method method);
  /// The user is gone; no call reaches it any more.
  void abandon() { user_ = nullptr; }

  [[nodiscard]] event::Stream& stream() { return stream_; }
  [[nodiscard]] Pool& pool() { return pool_; }

  /// After `after` without progress the user gets `reason` as an error. Each arm() replaces the one before.
  void arm(Millis after, Reason reason);
  void disarm() { timer_.cancel(); }

  /// It must not serve another exchange, whatever the response said (the request was not sent whole, for instance).
  void spoil() { reusable_ = false; }
  /// Back-pressure from the client's side.
  void pause_reading();
  void resume_reading();

  /// True once the response ended cleanly at a message boundary, so that another exchange may use the connection.
  [[nodiscard]] bool reusable() const { return state_ == State::done && reusable_; }
  /// At least one byte of the current exchange's response arrived.
  [[nodiscard]] bool got_bytes() const { return got_bytes_; }
  /// It served another exchange before this one.
  [[nodiscard]] bool reused() const { return served_ > 1; }
  [[nodiscard]] uint64_t served() const { return served_; }
  [[nodiscard]] MonoTime opened_at() const { return opened_at_; }

 private:
  friend class Pool;
  enum class State : uint8_t { connecting, securing, idle, head, body, done, tunnel, closed };

  void on_readable() override;
  void on_writable() override;
  void on_error() override;
  void on_timer();

  [[nodiscard]] bool is_older_than_request() const;
  [[nodiscard]] bool is_securing() const { return state_ == State::securing; }
  [[nodiscard]] bool is_made() const { return state_ != State::connecting && state_ != State::securing; }
  void read_some();
  bool splice_some();
  void consume(std::string_view bytes);
  void keep_unfinished_head(std::string_view bytes);
  bool take_head(std::string_view& bytes);
  bool deliver_informational(const http::ResponseHead& head, size_t bytes);
  bool deliver_head(const http::ResponseHead& head);
  void take_body(std::string_view bytes);
  void take_chunked(std::string_view bytes);
  void end_response(bool surplus_bytes);
  [[nodiscard]] bool more_is_there();
  void on_eof();
  void fail(Reason reason, const char* detail);
  void fail_to_talk(const char* detail);
  void become_idle(Millis idle_for);
  void close();

  Pool& pool_;
  event::Loop& loop_;
  event::Stream stream_;
  event::Timer timer_;
  User* user_ = nullptr;
  Buffer head_bytes_;  // of a head that came in more than one piece
  http::HeadScanner scanner_;
  http::ChunkedDecoder chunks_;
  http::BodyFraming body_;  // `length` counts down
  MonoTime opened_at_;
  uint64_t served_ = 0;
  uint64_t leased_turn_ = 0;  // the loop's, when the lease began
  http::Method method_ = http::Method::GET;
  Reason timeout_reason_ = Reason::connect_timeout;
  State state_ = State::connecting;
  uint8_t informationals_ = 0;
  uint32_t informational_bytes_ = 0;
  bool reusable_ = false;
  bool got_bytes_ = false;
  bool read_all_ = true;  // the last read left nothing in the socket
};

}  // namespace sluice::upstream
