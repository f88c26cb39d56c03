// ServerSession: HTTP/2 (RFC 9113) with one client, without its socket: bytes come in by receive() and go out by write(). It makes
// the frames' rules ours: requests arrive as heads of HTTP/1.1, bodies as bytes, and what is sent is asked for when the peer's
// windows have room. Broken rules are answered as the RFC says, floods with GOAWAY (ENHANCE_YOUR_CALM). Worker thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/clock.h"
#include "base/reason.h"
#include "base/result.h"
#include "http/head_scanner.h"
#include "http2/head_block.h"
#include "http2/library.h"
#include "http2/request_head.h"
#include "http2/session_memory.h"

namespace sluice::http2 {

/// The error codes of RFC 9113 §7 that we send ourselves.
enum class ErrorCode : uint32_t {
  no_error = 0x0,
  protocol_error = 0x1,
  internal_error = 0x2,
  refused_stream = 0x7,
  cancel = 0x8,
  enhance_your_calm = 0xb,
};

/// What is known of a request beside its head, which may be none.
struct RequestFacts {
  std::string_view text;  // what the head's views lie in
  http::Method method;
  bool is_connect;  // it asks for a tunnel (RFC 8441)
  bool ends;        // nothing comes behind the head
  bool early;       // some of the head came as TLS early data
};

/// One request of a session and its answer, for as long as the session has not said on_stream_closed().
class ServerStream {
 public:
  /// What there is to send of the answer's body: `bytes` now; `last`: and then no more, but `trailers`, if there are any.
  struct Offer {
    size_t bytes = 0;
    bool last = false;
    const http::HeaderMap* trailers = nullptr;
  };

  // Inside receive():
  /// The request's head, made into one of HTTP/1.1, or why it is none that we answer. Valid during the call only.
  virtual void on_request(const Result<http::RequestHead>& head, const RequestFacts& facts) = 0;
  /// A piece of the request's body. It counts against the stream's window until ServerSession::consume().
  virtual void on_data(std::string_view data) = 0;
  /// The request has ended; `trailers` are lines as in a HeadBlock with an empty one behind them, or nothing.
  virtual void on_end(std::string_view trailers, size_t fields) = 0;
  // Inside receive() or write():
  /// The stream is no more. What it was is to be remembered and dealt with later.
  virtual void on_stream_closed() = 0;
  // Inside write(), for a stream that has been answered:
  virtual Offer offer() = 0;
  /// Moves `bytes` of what was offered to `out`.
  virtual void take(size_t bytes, Buffer& out) = 0;
  /// All of the answer went out.
  virtual void on_end_sent() = 0;

 protected:
  ~ServerStream() = default;
};

class ServerSession {
 public:
  static constexpr uint32_t kStreamWindow = 128 * 1024;
  static constexpr uint32_t kConnectionWindow = 1024 * 1024;

  class Handler {
   public:
    /// What the next request may cost.
    virtual http::HeadLimits head_limits() = 0;
    /// For the fields of one head, until ServerStream::on_request() returns; has room for HeadLimits::fields and kAddedFields more.
    virtual std::span<http::HeaderField> field_scratch() = 0;
    /// A request begins: what hears of it from now on.
    virtual ServerStream& open_stream(int32_t id) = 0;
    /// The client broke a rule; only the stream suffers.
    virtual void on_stream_error() = 0;

   protected:
    ~Handler() = default;
  };

  ServerSession(Handler& handler, BlockPool& blocks, uint32_t max_streams);

  /// Not once is_over(). `early`: the bytes came as TLS early data.
  void receive(std::string_view bytes, MonoTime now, bool early = false);
  /// Appends frames to `out` until there are no more, or `out` holds `limit` bytes.
  void write(Buffer& out, size_t limit);
  [[nodiscard]] bool wants_write() const { return nghttp2_session_want_write(session_.get()) != 0; }
  /// The connection is to be closed once what there is to write is written: why() tells the reason.
  [[nodiscard]] bool is_over() const {
    return why_ != Reason::keepalive_done || nghttp2_session_want_read(session_.get()) == 0;
  }
  [[nodiscard]] Reason why() const { return why_; }

  // What the proxy does with a stream. One that is closed already is left alone.
  /// 1xx.
  void inform(int32_t stream, uint16_t status, const http::HeaderMap& headers);
  /// The answer's head. `ends`: it has no body and no trailers; else offer() is asked for what it has.
  void respond(int32_t stream, uint16_t status, const http::HeaderMap& headers, bool ends);
  /// There is more to offer than when offer() was asked the last time.
  void resume(int32_t stream);
  void reset(int32_t stream, ErrorCode code);
  /// `bytes` of on_data() were taken: the peer may send as many more.
  void consume(int32_t stream, size_t bytes);

  /// The stream's ServerStream is no more.
  void detach(int32_t stream) { nghttp2_session_set_stream_user_data(session_.get(), stream, nullptr); }

  /// The connection idles: gives back memory that no stream needs. False if there is none.
  bool rest() { return memory_.rest(); }

  /// Asks the client to open no more streams here; those that are on their way are served (RFC 9113 §6.8).
  void announce_end();
  /// From now on no stream is accepted.
  void end();

 private:
  struct Callbacks;

  /// A bucket of what may happen at once, and per second on the long run.
  class Allowance {
   public:
    Allowance(uint32_t burst, uint32_t per_second) : burst_(burst), per_second_(per_second), left_(burst) {}
    [[nodiscard]] bool spend(MonoTime now);

   private:
    uint32_t burst_, per_second_, left_;
    MonoTime filled_;
  };

  void begin_block();
  void end_block(int32_t id, bool is_request, bool ends);
  void count_frame(const nghttp2_frame& frame);
  void count_stream_error();
  void calm_down();
  void give_up(uint32_t code);
  void check_order(int32_t id);
  void note_cut(int32_t id) { last_cut_ = std::max(last_cut_, id); }

  Handler& handler_;
  SessionMemory memory_;
  SessionPtr session_;
  HeadBlock block_;
  RequestBlock request_;
  http::HeadLimits limits_;
  uint32_t max_streams_;
  MonoTime now_;
  bool early_ = false;        // what is received
  bool early_block_ = false;  // some of the block that has begun
  Allowance resets_{200, 20};
  Allowance idle_frames_{1000, 100};
  int32_t highest_ = -1;  // of the streams that the client opened
  struct {
    int32_t first = 0, last = -1;
  } skipped_;                                           // and those that it left out, the last time
  int32_t last_cut_ = 0;                                // the highest that was closed before its request had ended
  Buffer* out_ = nullptr;                               // of the write() that runs
  int32_t last_ = std::numeric_limits<int32_t>::max();  // the last stream that is accepted
  Reason why_ = Reason::keepalive_done;
};

}  // namespace sluice::http2
