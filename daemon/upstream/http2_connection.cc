#include "upstream/http2_connection.h"

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "http/parser.h"
#include "tls/websocket_accept.h"
#include "upstream/pool.h"

namespace sluice::upstream {

namespace {
constexpr int kReadsPerWake = 4;
constexpr size_t kOutBytes = 64 * 1024;  // past it the session waits for the socket
constexpr uint8_t kMaxInformationals = 16;
constexpr uint32_t kMaxInformationalBytes = 64 * 1024;
// Between PINGs while no stream gets anything. Servers of gRPC allow one in five minutes then, and end the connection after the
// third one too many.
constexpr Millis kPingPause = std::chrono::minutes(5);
constexpr Error kWrongLength{Reason::upstream_http2_error, "its content-length is not the length of its body"};
}  // namespace

// --- one stream ---

Http2Stream::Http2Stream(Http2Connection& connection, User& user, http::Method method, bool reused)
    : connection_(connection),
      user_(&user),
      timer_(
          connection.loop_.timers(), [](void* self) { static_cast<Http2Stream*>(self)->on_timer(); }, this),
      leased_at_(connection.loop_.now()),
      held_(connection.loop_.blocks()),
      method_(method),
      reused_(reused) {}

void Http2Stream::begin(std::string_view head, const http::BodyFraming& body) {
  using Upload = http2::ClientSession::Upload;
  head_ = head;
  is_tunnel_ = body.kind == http::BodyFraming::Kind::until_close;
  upload_ = is_tunnel_ ? Upload::tunnel : body.empty() ? Upload::none : Upload::body;
}

Error Http2Stream::refuses_tunnel(const http::RequestHead& head) const {
  const bool websocket =
      method_ == http::Method::GET && iequals(head.headers.value(http::HeaderId::upgrade), "websocket");
  if (!websocket || !connection_.session_.takes_tunnels()) return {Reason::upstream_no_upgrade, ""};
  if (head.headers.find("sec-websocket-key") == nullptr) return {Reason::bad_upgrade, "Sec-WebSocket-Key is missing"};
  return {Reason::none, ""};
}

event::IoResult Http2Stream::send(std::span<const iovec> body, bool last, std::string_view trailers) {
  if (is_cut_off_) return {event::IoStatus::eof};
  if (connection_.dead_) return {event::IoStatus::error};
  if (!submitted_) {
    const bool tls = connection_.stream_.transport() != nullptr;
    if (!connection_.session_.request(*this, head_, tls ? "https" : "http", upload_)) {
      return {event::IoStatus::error};  // the response timeout will tell
    }
    submitted_ = true;
    connection_.schedule_flush();
  }
  // What goes up a tunnel begins, and ends, when it is open.
  const bool waits = is_tunnel_ && !got_head_;
  if (upload_ == http2::ClientSession::Upload::none || waits) return {event::IoStatus::ok};
  size_t size = 0;
  for (const iovec& piece : body) size += piece.iov_len;
  if (ended_) return {size > 0 ? event::IoStatus::error : event::IoStatus::ok};
  offered_ = body;
  taken_ = 0;
  offers_last_ = last;
  trailers_ = trailers;
  const auto all_taken = [&] { return taken_ == size && (!last || ended_); };
  if (connection_.receiving_) {
    connection_.held_back_ = true;
  } else if (!all_taken()) {
    connection_.session_.resume_body(*this);
    do {
      connection_.session_.write(connection_.out_, kOutBytes);
    } while (!all_taken() && connection_.out_.size() >= kOutBytes && connection_.write_out());
    connection_.schedule_flush();
  }
  offered_ = {};
  offers_last_ = false;
  blocked_ = !all_taken();
  return {blocked_ ? event::IoStatus::again : event::IoStatus::ok, taken_};
}

Http2Stream::Piece Http2Stream::read_body(std::span<char> into) {
  Piece piece;
  size_t skip = taken_, left = 0;
  for (const iovec& each : offered_) {
    const size_t skipped = std::min(skip, each.iov_len);
    const size_t bytes = std::min(each.iov_len - skipped, into.size() - piece.bytes);
    skip -= skipped;
    std::memcpy(into.data() + piece.bytes, static_cast<const char*>(each.iov_base) + skipped, bytes);
    piece.bytes += bytes;
    left += each.iov_len - skipped - bytes;
  }
  taken_ += piece.bytes;
  piece.last = ended_ = offers_last_ && left == 0;
  piece.trailers = trailers_;
  return piece;
}

void Http2Stream::arm(Millis after, Reason reason) {
  timeout_reason_ = reason;
  timer_.set(connection_.loop_.now() + after);
}

void Http2Stream::arm_body_timeout() {
  if (!is_tunnel_) arm(connection_.pool_.timeouts().idle, Reason::upstream_idle_timeout);
}

// A connection that was silent for most of the time that this stream waited may be one to nobody: further requests go elsewhere.
void Http2Stream::on_timer() {
  const MonoTime now = connection_.loop_.now();
  if (now - connection_.last_read_ > (now - leased_at_) / 2) {
    connection_.parting_ = true;
    connection_.end_reason_ = timeout_reason_;
  }
  fail({timeout_reason_, ""});
}

void Http2Stream::pause_reading() {
  paused_ = true;
  if (got_head_) timer_.cancel();  // it is the client that is slow; its write timeout watches
}

void Http2Stream::resume_reading() {
  if (!paused_) return;
  paused_ = false;
  if (got_head_ && !holds_end_) arm_body_timeout();
  connection_.resumed_.push_back(this);
  connection_.schedule_flush();
}

void Http2Stream::on_head(const http::ResponseHead& head, size_t bytes) {
  got_bytes_ = true;
  if (!std::exchange(touched_, true)) connection_.touched_.push_back(this);
  if (head.status < 200) return deliver_informational(head, bytes);
  if (is_tunnel_ && head.status < 300) return open_tunnel(head);
  is_tunnel_ = false;
  const Result<http::ResponseFraming> framing = http::response_framing(head, method_);
  if (!framing) return fail(framing.error());
  got_head_ = true;
  if (framing->body.kind == http::BodyFraming::Kind::length) body_left_ = framing->body.length;
  if (!paused_) arm_body_timeout();
  user_->on_response_head(head, *framing);
}

// 200 to an extended CONNECT is what 101 to an Upgrade is in HTTP/1.1, where the client wants a proof beside it (RFC 6455 §4.2.2).
void Http2Stream::open_tunnel(const http::ResponseHead& head) {
  std::vector<http::HeaderField> fields(static_cast<size_t>(std::count(head_.begin(), head_.end(), '\n')));
  const Result<http::RequestHead> request = http::parse_request(head_, fields);
  SL_ASSERT(request.has_value());  // we wrote it
  const http::HeaderField* key = request->headers.find("sec-websocket-key");
  std::string text =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";
  text += tls::websocket_accept(key == nullptr ? std::string_view() : key->value);
  text += "\r\n";
  for (const http::HeaderField& field : head.headers) {
    if (field.id == http::HeaderId::content_length || iequals(field.name, "sec-websocket-accept")) continue;
    text.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  text += "\r\n";
  fields.resize(head.headers.size() + 3);
  const Result<http::ResponseHead> composed = http::parse_response(text, fields);
  if (!composed) return fail(composed.error());
  const Result<http::ResponseFraming> framing = http::response_framing(*composed, method_);
  if (!framing) return fail(framing.error());
  got_head_ = true;
  user_->on_response_head(*composed, *framing);
}

// The user keeps all 1xx heads of a response in memory, so that together they may be no larger than one head.
void Http2Stream::deliver_informational(const http::ResponseHead& head, size_t bytes) {
  informational_bytes_ += static_cast<uint32_t>(bytes);
  if (++informationals_ > kMaxInformationals) return fail({Reason::upstream_bad_response, "too many 1xx responses"});
  if (informational_bytes_ > kMaxInformationalBytes) {
    return fail({Reason::upstream_head_too_large, "too large 1xx responses"});
  }
  user_->on_informational(head);
}

// nghttp2 compares lengths too, but not in an answer to CONNECT that refuses it, which has a body like any other.
void Http2Stream::on_body(std::string_view data) {
  if (data.size() > body_left_.value_or(data.size())) return fail(kWrongLength);
  if (body_left_) *body_left_ -= data.size();
  if (!std::exchange(touched_, true)) connection_.touched_.push_back(this);
  if (paused_ || !held_.empty()) return held_.append(data);
  arm_body_timeout();
  unopened_ += data.size();
  user_->on_response_body(data);
}

void Http2Stream::on_end(const http::HeaderMap& trailers) {
  if (body_left_.value_or(0) > 0) return fail(kWrongLength);
  got_end_ = true;
  timer_.cancel();
  if (!paused_ && held_.empty()) return user_->on_response_end(trailers);
  holds_end_ = true;
  for (const http::HeaderField& field : trailers) {
    held_trailers_.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  if (!held_trailers_.empty()) held_trailers_ += "\r\n";
}

void Http2Stream::on_failed(Error error) {
  if (got_end_ && !is_tunnel_) return;  // an answer that refused one
  if (got_end_) {
    is_cut_off_ = true;
    return user_->on_upstream_writable();
  }
  if (error.reason == Reason::upstream_reset && !connection_.dead_) got_bytes_ = true;  // it was no stale connection
  if (got_head_ && error.reason == Reason::upstream_reset) error.reason = Reason::upstream_truncated;
  fail(error);
}

void Http2Stream::fail(Error error) {
  timer_.cancel();
  if (user_ != nullptr) user_->on_upstream_error(error);
}

void Http2Stream::reach_pause_point() {
  touched_ = false;
  if (user_ != nullptr) user_->on_upstream_pause_point();
  open_window();
}

// The window opens when what came is on its way, or will be soon.
void Http2Stream::open_window() {
  if (user_ == nullptr || paused_ || unopened_ == 0) return;
  connection_.session_.consumed(*this, std::exchange(unopened_, 0));
  connection_.schedule_flush();
}

// What came while the user had paused.
void Http2Stream::deliver_held() {
  if (user_ == nullptr || paused_) return;
  if (!held_.empty()) {
    unopened_ += held_.size();
    user_->on_response_body(held_.view());
    if (user_ != nullptr) user_->on_upstream_pause_point();
    held_.clear();
  }
  open_window();
  if (user_ != nullptr && !paused_ && holds_end_) deliver_held_end();
}

void Http2Stream::deliver_held_end() {
  holds_end_ = false;
  timer_.cancel();
  http::HeaderMap trailers;
  const auto lines = static_cast<size_t>(std::count(held_trailers_.begin(), held_trailers_.end(), '\n'));
  std::vector<http::HeaderField> fields(lines);
  if (lines > 0) {
    const Result<http::HeaderMap> parsed = http::parse_fields(held_trailers_, fields);
    if (!parsed) return fail({Reason::upstream_bad_body, "malformed trailers"});
    trailers = *parsed;
  }
  user_->on_response_end(trailers);
  if (user_ != nullptr) user_->on_upstream_pause_point();
}

void Http2Stream::give_back(Reason reason) {
  user_ = nullptr;
  timer_.cancel();
  connection_.on_stream_over(*this, reason);
}

// --- the connection ---

Http2Connection::Http2Connection(Connection& connection, Pool& pool, event::Loop& loop, event::Stream& stream)
    : connection_(connection),
      pool_(pool),
      loop_(loop),
      stream_(stream),
      session_(loop.blocks()),
      out_(loop.blocks()),
      last_read_(loop.now()) {}

Http2Connection::~Http2Connection() { SL_ASSERT(streams_ == 0); }

Carrier& Http2Connection::lend(Carrier::User& user, http::Method method, bool reused) {
  auto* stream = new Http2Stream(*this, user, method, reused);  // owned through the list from here on
  list_.push_back(*stream);
  if (++streams_ == 1) {
    began_ = loop_.now();
    arrived_ = written_;
    watch_silence(false);
  }
  return *stream;
}

uint32_t Http2Connection::max_streams() const { return std::min(pool_.max_streams(), session_.max_streams()); }

uint32_t Http2Connection::room() const {
  const uint32_t most = max_streams();
  return is_usable() && streams_ < most ? most - streams_ : 0;
}

void Http2Connection::on_readable() {
  const std::span<char> buffer = loop_.read_buffer();
  for (int i = 0; i < kReadsPerWake; ++i) {
    const event::IoResult result = stream_.read(buffer);
    if (result.status == event::IoStatus::again) return;
    if (result.status == event::IoStatus::eof) return fail({Reason::upstream_reset, "the endpoint closed"});
    if (result.status == event::IoStatus::error) {
      // Over TLS 1.3 an endpoint that does not like our certificate says so behind the handshake.
      const event::Transport* tls = stream_.transport();
      const bool refused = !greeted_ && tls != nullptr && tls->was_refused();
      return fail(refused ? Error{Reason::tls_handshake_failed, tls->failure()}
                          : Error{Reason::upstream_reset, "read failed"});
    }
    if (!take({buffer.data(), result.bytes}) || result.bytes < buffer.size()) return;
  }
}

// False if it is dead or closed.
bool Http2Connection::take(std::string_view bytes) {
  const uint32_t most = max_streams();
  const bool usable = is_usable();
  last_read_ = loop_.now();
  receiving_ = true;
  const bool good = session_.receive(bytes);
  receiving_ = false;
  if (!touched_.empty()) last_message_ = last_read_;
  reach_pause_points();
  if (dead_) return false;
  session_.write(out_, kOutBytes);  // its last word may be an error of the endpoint's
  if (!good || session_.is_over()) {
    const bool gone = session_.is_going_away() && good;
    fail({gone ? Reason::upstream_reset : Reason::upstream_http2_error, gone ? "GOAWAY" : session_.failure()});
    return false;
  }
  session_.report();
  if (dead_) return false;
  if (!greeted_ && session_.is_greeted()) {
    if (max_streams() == 0) {
      fail({Reason::upstream_refused, "it allows no requests"});
      return false;
    }
    greeted_ = true;
    pool_.on_connected(connection_);
  } else if (greeted_ && (most != max_streams() || usable != is_usable())) {
    pool_.on_room_changed(connection_);
  }
  if (dead_) return false;
  const bool window_changed = session_.take_window_change();
  if (std::exchange(held_back_, false) || window_changed) offer_again();
  if (!dead_) schedule_flush();
  return !dead_;
}

void Http2Connection::reach_pause_points() {
  // Streams are freed at the end of the turn.
  for (size_t i = 0; i < touched_.size(); ++i) touched_[i]->reach_pause_point();
  touched_.clear();
}

// Who could not send all of its body tries again; those who waited longest come first.
void Http2Connection::offer_again() {
  std::vector<Http2Stream*> blocked;
  for (Http2Stream& each : list_) {
    if (each.blocked_) blocked.push_back(&each);
  }
  for (Http2Stream* each : blocked) {
    if (each->user_ == nullptr || dead_) continue;
    static_cast<ListNode<Http2StreamTag>*>(each)->unlink();
    list_.push_back(*each);
    each->user_->on_upstream_writable();
  }
}

void Http2Connection::schedule_flush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  loop_.at_turn_end([](void* self) { static_cast<Http2Connection*>(self)->flush(); }, this);
}

void Http2Connection::flush() {
  flush_scheduled_ = false;
  const std::vector<Http2Stream*> resumed = std::move(resumed_);
  resumed_.clear();
  for (Http2Stream* each : resumed) each->deliver_held();
  if (dead_) return;
  write_out();
  session_.report();
}

// True if the socket took all that there was.
bool Http2Connection::write_out() {
  while (!broken_pipe_) {
    session_.write(out_, kOutBytes);
    if (out_.empty()) {
      stream_.want_write(false);
      return true;
    }
    const event::IoResult result = stream_.write(out_.view());
    if (result.status == event::IoStatus::again) {
      stream_.want_write(true);
      return false;
    }
    broken_pipe_ = result.status != event::IoStatus::ok;
    if (broken_pipe_) break;
    out_.consume(result.bytes);
    written_ += static_cast<int64_t>(result.bytes);
  }
  out_.clear();
  stream_.want_write(false);
  return false;
}

void Http2Connection::on_writable() {
  if (!write_out()) return;
  session_.report();
  if (!dead_) offer_again();
}

void Http2Connection::on_timer() {
  if (!greeted_) return fail({Reason::connect_timeout, "it sent no SETTINGS of HTTP/2"});
  streams_ == 0 ? pool_.on_idle_over(connection_) : watch_silence(is_delivering());
}

// Something waits in the socket and, since the last look, the endpoint acknowledged some of it: its link is slow, and whatever a
// PING asks stands behind what waits. Who has vanished acknowledges nothing. (Through TLS a little more waits than was written.)
bool Http2Connection::is_delivering() {
  const auto waiting = static_cast<int64_t>(stream_.unacknowledged());
  const int64_t arrived = written_ - waiting;
  return std::exchange(arrived_, arrived) < arrived && waiting > 0;
}

// While there are streams the connection's timer runs; nobody moves it when something comes, since it looks for itself.
void Http2Connection::watch_silence(bool delivers) {
  const Millis patience = pool_.timeouts().ping;
  if (dead_) return;
  if (patience.count() == 0) return connection_.disarm();
  const MonoTime now = loop_.now();
  if (delivers) (owes_answer() ? last_ping_ : last_read_) = now;
  MonoTime next = std::max(began_, last_read_) + patience;
  if (owes_answer()) {
    next = last_ping_ + patience;
    if (next <= now) return fail({Reason::upstream_silent, ""});
  } else if (last_ping_ > last_message_) {
    next = std::max(next, last_ping_ + kPingPause);
  }
  if (next <= now) {
    session_.ping();
    schedule_flush();
    last_ping_ = now;
    next = now + patience;
  }
  // Something may come in a long pause, and then silence: that is to be noticed.
  connection_.arm(std::min(std::chrono::ceil<Millis>(next - now), patience), Reason::upstream_silent);
}

void Http2Connection::fail(Error error) {
  if (dead_) return;
  write_out();  // why, if it is the endpoint's fault
  dead_ = true;
  end_reason_ = error.reason;
  stream_.close();
  if (!greeted_) return pool_.on_connect_failed(connection_, error);
  if (streams_ == 0) return pool_.on_idle_closed(connection_, Reason::upstream_closed_idle);
  pool_.on_died(connection_, error.reason);
  session_.fail_all(error);
  session_.report();
}

void Http2Connection::close() {
  if (std::exchange(dead_, true)) return;
  if (receiving_)
    return;  // the session is at work: it may not be asked to send, and the endpoint does without a goodbye
  session_.close();
  write_out();
}

void Http2Connection::on_stream_over(Http2Stream& stream, Reason reason) {
  session_.forget(stream);
  static_cast<ListNode<Http2StreamTag>&>(stream).unlink();
  --streams_;
  loop_.defer_delete(std::unique_ptr<event::Deferred>(&stream));
  if (!dead_) schedule_flush();
  pool_.on_stream_over(connection_, reason);
}

}  // namespace sluice::upstream
