// Connection: one connection to an endpoint. It belongs to its Pool and is lent to one exchange at a time (Lease), unless it speaks HTTP/2.
// It writes the request, reads and decodes responses and hands the exchange events. Worker thread only. Freed by the pool at the end of the turn in which it was closed.
//
// State        leaves by
// connecting   socket ready -> idle, or securing if the endpoint speaks TLS; refused or timeout -> closed (the pool fails a waiter)
// securing     handshake done -> idle; failed or timeout -> closed (the pool fails a waiter)
// http2        from idle, or where it would have become that: all else is the business of its Http2Connection
// idle         lease() -> head; peer closes, sends, or it grew old -> closed
// head         final response head -> body; 101 -> tunnel
// body         last byte -> done
// done         release() -> idle, or closed if it cannot be used again
// tunnel       the exchange closes it
#pragma once

#include <memory>

#include "base/buffer.h"
#include "event/loop.h"
#include "event/pipe.h"
#include "event/stream.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/head_scanner.h"
#include "http/message.h"
#include "upstream/carrier.h"
#include "upstream/http2_connection.h"
#include "upstream/request_writer.h"

namespace sluice::upstream {

class Pool;
struct ConnectionTag;
struct IntroducedTag;

class Connection final : public event::Deferred,
                         public ListNode<ConnectionTag>,
                         public ListNode<IntroducedTag>,
                         public Carrier,
                         private event::Stream::Handler {
 public:
  using Pooled = ListNode<ConnectionTag>;
  using Introduced = ListNode<IntroducedTag>;  // linked while its client is there

  Connection(Pool& pool, event::Loop& loop);
  ~Connection() override;

  /// Starts to connect; the pool hears of the outcome.
  [[nodiscard]] Result<void> connect(const SocketAddress& address);

  /// A connection that is idle, or has room, begins to serve `user`, whose request has `method`.
  Carrier& lease(User& user, http::Method method);
  /// What it speaks, if that is HTTP/2; else nullptr.
  [[nodiscard]] Http2Connection* http2() const { return http2_.get(); }

  [[nodiscard]] event::Stream& stream() { return stream_; }
  [[nodiscard]] Pool& pool() { return pool_; }
  /// Made, and without a request; of HTTP/1.1.
  [[nodiscard]] bool is_idle() const { return state_ == State::idle; }

  // Carrier
  void begin(std::string_view head, const http::BodyFraming& body) override;
  event::IoResult send(std::span<const iovec> body, bool last, std::string_view trailers) override;
  [[nodiscard]] bool has_sent() const override { return writer_.has_sent(); }
  [[nodiscard]] Error refuses_tunnel(const http::RequestHead&) const override { return {Reason::none, ""}; }
  void shutdown_write() override { stream_.shutdown_write(); }
  void cut() override { stream_.close_with_reset(); }
  void arm(Millis after, Reason reason) override;
  void disarm() override { timer_.cancel(); }
  /// It must not serve another exchange, whatever the response said.
  void spoil() override { reusable_ = false; }
  void pause_reading() override;
  void resume_reading() override;

  /// True once the response ended cleanly at a message boundary, so that another exchange may use the connection.
  [[nodiscard]] bool reusable() const { return state_ == State::done && reusable_; }
  [[nodiscard]] bool got_bytes() const override { return got_bytes_; }
  [[nodiscard]] bool reused() const override { return served_ > 1; }
  [[nodiscard]] uint64_t served() const { return served_; }
  [[nodiscard]] MonoTime opened_at() const { return opened_at_; }

 private:
  friend class Pool;
  void give_back(Reason reason) override;
  enum class State : uint8_t { connecting, securing, http2, idle, head, body, done, tunnel, closed };

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
  void begin_http2();
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
  RequestWriter writer_;
  std::unique_ptr<Http2Connection> http2_;
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
  bool counted_ = true;  // by the pool, as open
  uint8_t informationals_ = 0;
  uint32_t informational_bytes_ = 0;
  bool reusable_ = false;
  bool got_bytes_ = false;
  bool read_all_ = true;  // the last read left nothing in the socket
};

}  // namespace sluice::upstream
