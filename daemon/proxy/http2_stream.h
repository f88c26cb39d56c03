// Http2Stream: one request over HTTP/2 and the Client of its exchange. Made when a request's head begins, in the Engine's slab; freed
// at the end of the turn in which both its exchange and the session are done with it. Worker thread only.
//
// What the exchange has to say to a session that is at work (receive(), write()) is kept, and what the session has to say to an
// exchange that may be on the stack waits for the turn's end: see Http2Connection::notify().
#pragma once

#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/intrusive_list.h"
#include "http2/server_session.h"
#include "proxy/client.h"

namespace sluice::proxy {

class Exchange;
class Http2Connection;
struct Http2StreamTag;
struct Http2ReadyTag;

class Http2Stream final : public Client,
                          public http2::ServerStream,
                          public ListNode<Http2StreamTag>,
                          public ListNode<Http2ReadyTag> {
 public:
  using Listed = ListNode<Http2StreamTag>;
  using Ready = ListNode<Http2ReadyTag>;

  Http2Stream(Http2Connection& connection, int32_t id, GenerationRef generation);
  ~Http2Stream();

  /// What came about while the exchange could not be told: room to write, bytes to read, the stream's end.
  void on_turn_end();
  /// The connection is closed, for `reason`.
  void on_connection_gone(Reason reason);
  /// The gateway ends: the client hears why, as far as it can.
  void shut_down();

  // Client
  [[nodiscard]] bool lost() const override { return lost_; }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  void send_head(std::string_view text, Outbox& out) override;
  void send_trailers(std::string_view text, Outbox& out) override;
  event::IoStatus flush(Outbox& out, bool last) override;
  [[nodiscard]] bool has_taken_all() const override { return end_sent_ || lost_; }
  void want_write(bool want) override;
  [[nodiscard]] bool wants_write() const override { return wants_write_; }
  [[nodiscard]] event::Stream* socket() override { return nullptr; }
  void shutdown_write() override {}  // flush() was told which bytes are the last
  void abort(Outbox& out, bool end_means_complete, Reason reason) override;
  void close(Reason reason) override;
  void on_exchange_end(After after, Reason reason) override;
  [[nodiscard]] bool last_request() const override { return false; }
  void set_state(stats::ConnectionState state) override;

 private:
  // http2::ServerStream
  void on_request(const Result<http::RequestHead>& head, const http2::RequestFacts& facts) override;
  void on_data(std::string_view data) override;
  void on_end(std::string_view trailers, size_t fields) override;
  void on_stream_closed() override;
  Offer offer() override;
  void take(size_t bytes, Buffer& out) override;
  void on_end_sent() override;

  void on_timer() override;
  void submit_head(bool last);
  [[nodiscard]] std::string_view give(std::string_view data);
  void give_pending();
  void reset(http2::ErrorCode code);
  void leave();

  Http2Connection& http2_;
  Exchange* exchange_ = nullptr;
  Outbox* out_ = nullptr;     // the exchange's
  std::string_view head_;     // final, not submitted yet; of the exchange's memory
  http::HeaderMap trailers_;  // likewise, behind the body
  std::vector<http::HeaderField> trailer_fields_;
  Buffer pending_;                // of the request's body, not taken yet
  std::string request_trailers_;  // behind it
  size_t request_trailer_fields_ = 0;
  int32_t id_;
  bool is_connect_ = false;   // of a tunnel that has not begun
  bool paused_ = false;       // the exchange does not want to be given more
  bool ended_ = false;        // the client sent all
  bool end_given_ = false;    // and the exchange knows
  bool wants_write_ = false;  // the exchange waits for on_client_writable()
  bool last_ = false;         // what out_ holds is the answer's end
  bool end_sent_ = false;     // and went out
  bool reset_ = false;        // RST_STREAM is on its way, or was sent
  bool closed_ = false;       // the session has forgotten it
  bool connection_gone_ = false;
  bool lost_ = false;
};

}  // namespace sluice::proxy
