// Http2Connection: what a Connection becomes once its endpoint speaks HTTP/2: many exchanges at a time, each on an Http2Stream. It moves
// bytes between the socket and the session, and keeps the streams apart: a slow client closes the window of its own stream only.
// What all streams write in a turn leaves together at its end. Owned by its Connection. Worker thread only.
//
// State     leaves by
// greeting  the endpoint's SETTINGS -> open; anything else, or an end -> dead
//           While it has streams and is silent it is sent a PING, and gets no new ones until something comes; nothing comes -> dead
// open      GOAWAY, an age or a number of requests that the pool allows no more, a stream that found it silent -> parting
// parting   no new streams; the last one is over -> the pool closes it
// dead      the socket is closed; streams whose response is here already may still hand it over, then the pool frees it
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "event/loop.h"
#include "event/stream.h"
#include "http2/client_session.h"
#include "upstream/carrier.h"

namespace sluice::upstream {

class Connection;
class Http2Connection;
class Pool;
struct Http2StreamTag;

class Http2Stream final : public event::Deferred,
                          public ListNode<Http2StreamTag>,
                          public Carrier,
                          private http2::ClientSession::Stream {
 public:
  Http2Stream(Http2Connection& connection, User& user, http::Method method, bool reused);

  // Carrier
  void begin(std::string_view head, const http::BodyFraming& body) override;
  event::IoResult send(std::span<const iovec> body, bool last, std::string_view trailers) override;
  [[nodiscard]] bool has_sent() const override { return submitted_; }
  /// Only for WebSocket, and if the endpoint's settings allow it (RFC 8441).
  [[nodiscard]] Error refuses_tunnel(const http::RequestHead& head) const override;
  /// Nothing to do: the last byte said so.
  void shutdown_write() override {}
  /// Nothing to do: a stream that is given back before both its ways are over is cancelled.
  void cut() override {}
  void arm(Millis after, Reason reason) override;
  void disarm() override { timer_.cancel(); }
  /// Nothing to do: what is not over when it is given back is cancelled.
  void spoil() override {}
  void pause_reading() override;
  void resume_reading() override;
  [[nodiscard]] bool got_bytes() const override { return got_bytes_; }
  [[nodiscard]] bool reused() const override { return reused_; }

 private:
  friend class Http2Connection;

  // http2::ClientSession::Stream
  void on_head(const http::ResponseHead& head, size_t bytes) override;
  void on_body(std::string_view data) override;
  void on_end(const http::HeaderMap& trailers) override;
  void on_failed(Error error) override;
  Piece read_body(std::span<char> into) override;

  void give_back(Reason reason) override;
  void on_timer();
  void fail(Error error);
  void arm_body_timeout();
  void open_tunnel(const http::ResponseHead& head);
  void deliver_informational(const http::ResponseHead& head, size_t bytes);
  void deliver_held();
  void deliver_held_end();
  void reach_pause_point();
  void open_window();

  Http2Connection& connection_;
  User* user_;
  event::Timer timer_;
  MonoTime leased_at_;

  // the request
  std::string_view head_;
  std::span<const iovec> offered_;  // during send() only
  size_t taken_ = 0;                // of offered_
  std::string_view trailers_;
  http2::ClientSession::Upload upload_ = http2::ClientSession::Upload::none;
  bool offers_last_ = false;
  bool submitted_ = false;
  bool ended_ = false;    // its last byte is in the session
  bool blocked_ = false;  // something was offered that could not be taken

  // the response
  Buffer held_;  // what came while the user had paused: no more than the window
  std::string held_trailers_;
  std::optional<uint64_t> body_left_;  // of an announced length
  size_t unopened_ = 0;                // bytes handed over that the window was not opened for
  uint32_t informational_bytes_ = 0;
  uint8_t informationals_ = 0;
  http::Method method_;
  Reason timeout_reason_ = Reason::upstream_timeout;
  bool reused_;
  bool got_bytes_ = false;
  bool got_head_ = false;
  bool paused_ = false;
  bool got_end_ = false;
  bool holds_end_ = false;
  bool touched_ = false;  // it got something in this read
  bool is_tunnel_ = false;
  bool is_cut_off_ = false;  // a tunnel whose way down ended well, and whose way up nobody listens to
};

class Http2Connection {
 public:
  Http2Connection(Connection& connection, Pool& pool, event::Loop& loop, event::Stream& stream);
  ~Http2Connection();
  Http2Connection(const Http2Connection&) = delete;
  Http2Connection& operator=(const Http2Connection&) = delete;

  /// Greets the endpoint; the pool hears of the outcome.
  void start() { schedule_flush(); }
  /// A new stream; there must be room.
  Carrier& lend(Carrier::User& user, http::Method method, bool reused);

  [[nodiscard]] uint32_t streams() const { return streams_; }
  /// How many more it takes.
  [[nodiscard]] uint32_t room() const;
  /// How many it would take if it had none.
  [[nodiscard]] uint32_t max_streams() const;
  /// It takes more once it has room.
  [[nodiscard]] bool is_usable() const { return !dead_ && !parting_ && !owes_answer() && session_.is_open(); }
  /// Why it takes no more.
  [[nodiscard]] Reason end_reason() const { return end_reason_; }

  // From the Connection
  void on_readable();
  void on_writable();
  /// The greeting took too long, it was idle for so long, or it is time to look whether it is silent.
  void on_timer();
  void fail(Error error);
  /// The Connection is about to close the socket.
  void close();

 private:
  friend class Http2Stream;

  [[nodiscard]] bool take(std::string_view bytes);
  void reach_pause_points();
  void offer_again();
  void schedule_flush();
  void flush();
  bool write_out();
  bool is_delivering();
  void watch_silence(bool delivers);
  /// Nothing has come since it was sent a PING.
  [[nodiscard]] bool owes_answer() const { return last_ping_ > last_read_; }
  void on_stream_over(Http2Stream& stream, Reason reason);

  Connection& connection_;
  Pool& pool_;
  event::Loop& loop_;
  event::Stream& stream_;
  http2::ClientSession session_;
  Buffer out_;
  IntrusiveList<Http2Stream, Http2StreamTag> list_;
  std::vector<Http2Stream*> touched_;
  std::vector<Http2Stream*> resumed_;
  uint32_t streams_ = 0;
  MonoTime began_;  // to have streams
  MonoTime last_read_;
  MonoTime last_message_;  // when a stream last got something
  MonoTime last_ping_;     // or later, while it is on its way
  int64_t written_ = 0;    // bytes, to the socket
  int64_t arrived_ = 0;    // of them, when that was last looked at
  Reason end_reason_ = Reason::upstream_closed_idle;
  bool greeted_ = false;
  bool parting_ = false;
  bool dead_ = false;
  bool receiving_ = false;  // inside the session, which must not be asked to write then
  bool held_back_ = false;  // somebody wanted to, then
  bool flush_scheduled_ = false;
  bool broken_pipe_ = false;  // writing failed; reading will tell why
};

}  // namespace sluice::upstream
