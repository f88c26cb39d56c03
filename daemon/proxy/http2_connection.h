// Http2Connection: what a Downstream whose client speaks HTTP/2 has beside its socket: the session, its streams, and the bytes on
// their way out. Owned by the Downstream. Worker thread only.
//
// Bytes leave at the end of a turn, so that what many exchanges say in one turn goes out in one write. Then the streams hear what
// came about meanwhile. Nothing of this is done inside a callback of the session.
#pragma once

#include "base/intrusive_list.h"
#include "http2/server_session.h"
#include "proxy/http2_stream.h"

namespace sluice::proxy {

class Downstream;
class Engine;

class Http2Connection final : private http2::ServerSession::Handler {
 public:
  explicit Http2Connection(Downstream& downstream);
  ~Http2Connection();

  /// `early`: they came as TLS early data.
  void receive(std::string_view bytes, bool early);
  void on_writable();
  /// The end of a turn in which something came about: writes, and tells the streams.
  void on_turn_end();
  /// Its listener is gone, or the gateway drains: no more streams, after a while in which those on their way arrive.
  void part(Reason reason);
  /// That while is over; or the connection was idle for too long.
  void on_timer(Reason reason);
  /// The gateway ends.
  void shut_down();
  /// The client is gone for `reason`, and with it every exchange but those that go on without it. True if there are any.
  [[nodiscard]] bool on_client_gone(Reason reason);

  // For its streams:
  [[nodiscard]] Downstream& downstream() { return downstream_; }
  [[nodiscard]] Engine& engine();
  [[nodiscard]] http2::ServerSession& session() { return session_; }
  /// Writes frames, now if that can be: then what offer() shows was taken as far as the windows allow.
  void pump();
  /// The stream has something to tell its exchange at the turn's end.
  void notify(Http2Stream& stream);
  void end_stream(Http2Stream& stream);

 private:
  // http2::ServerSession::Handler
  http::HeadLimits head_limits() override;
  std::span<http::HeaderField> field_scratch() override;
  http2::ServerStream& open_stream(int32_t id) override;
  void on_stream_error() override;

  [[nodiscard]] GenerationRef generation();
  [[nodiscard]] const snapshot::ListenerSpec& listener();
  void finish(Reason reason);
  template <typename Action>
  void for_each_stream(Action action);
  void wake();
  void work_off();
  void tell_streams();
  void make_frames();
  [[nodiscard]] bool write_out();
  void watch_socket(bool progress);
  void arm_parting();
  void watch();
  bool rest();

  Downstream& downstream_;
  http2::ServerSession session_;
  Buffer out_;
  IntrusiveList<Http2Stream, Http2StreamTag> streams_;
  IntrusiveList<Http2Stream, Http2ReadyTag> ready_;
  Reason end_reason_ = Reason::keepalive_done;
  bool busy_ = false;     // the session is at work
  bool blocked_ = false;  // the socket takes no more
  bool broken_ = false;   // the socket failed
  bool turn_ends_ = false;
  bool rests_ = true;     // it idles, and memory was given back; or no request has come
  bool parting_ = false;  // the client was told that it ends
  bool parted_ = false;   // no stream is accepted any more
};

}  // namespace sluice::proxy
