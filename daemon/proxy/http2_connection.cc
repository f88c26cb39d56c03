#include "proxy/http2_connection.h"

#include "proxy/downstream.h"
#include "proxy/engine.h"

namespace sluice::proxy {

using stats::ConnectionState;

namespace {
constexpr size_t kOutBytes = 64 * 1024;  // more is not made before it is written
constexpr int kRoundsPerTurn = 16;
constexpr Millis kRestAfter{1000};
}  // namespace

Http2Connection::Http2Connection(Downstream& downstream)
    : downstream_(downstream),
      session_(*this, engine().loop().blocks(), listener().http2_streams),
      out_(engine().loop().blocks()) {}

Http2Connection::~Http2Connection() { SL_ASSERT(streams_.empty()); }

Engine& Http2Connection::engine() { return downstream_.engine(); }

GenerationRef Http2Connection::generation() {
  return downstream_.generation() ? downstream_.generation() : GenerationRef(engine().current());
}

const snapshot::ListenerSpec& Http2Connection::listener() { return *generation()->listener(downstream_.slot()); }

http::HeadLimits Http2Connection::head_limits() { return listener().head; }

std::span<http::HeaderField> Http2Connection::field_scratch() { return engine().field_scratch(); }

void Http2Connection::on_stream_error() {
  engine().shard().add(stats::pick(engine().current().series().failures, Reason::http2_error));
}

http2::ServerStream& Http2Connection::open_stream(int32_t id) {
  Http2Stream& stream = engine().make_http2_stream(*this, id, generation());
  streams_.push_back(stream);
  downstream_.count_request();
  watch();
  const uint64_t limit = stream.generation()->listener(downstream_.slot())->requests_per_connection;
  if (limit != 0 && downstream_.requests() >= limit) part(Reason::requests_limit);
  return stream;
}

// --- bytes ---

void Http2Connection::receive(std::string_view bytes, bool early) {
  if (session_.is_over()) return;
  busy_ = true;
  session_.receive(bytes, engine().loop().now(), early);
  busy_ = false;
  pump();
}

void Http2Connection::pump() {
  if (busy_ || downstream_.lost()) return;
  make_frames();
  if (session_.is_over() || broken_ || !out_.empty() || !ready_.empty()) wake();
}

void Http2Connection::make_frames() {
  busy_ = true;
  do {
    session_.write(out_, kOutBytes);
  } while (out_.size() >= kOutBytes && write_out());
  busy_ = false;
}

// True if the socket took everything.
bool Http2Connection::write_out() {
  event::Stream& socket = downstream_.stream();
  const size_t before = out_.size();
  while (!out_.empty() && !broken_) {
    const event::IoResult result = socket.write(out_.view());
    if (result.status == event::IoStatus::error)
      broken_ = true;  // an exchange may be on the stack: said at the turn's end
    if (result.status != event::IoStatus::ok) break;
    engine().shard().add(downstream_.series().sent, result.bytes);
    out_.consume(result.bytes);
  }
  if (broken_) out_.clear();
  socket.want_write(!out_.empty());
  watch_socket(out_.size() < before);
  return !broken_ && out_.empty();
}

// While the socket takes nothing the connection's timer is for that.
void Http2Connection::watch_socket(bool progress) {
  const bool was_blocked = std::exchange(blocked_, !out_.empty());
  if (blocked_ && (progress || !was_blocked)) {
    downstream_.arm(listener().timeouts.write, Reason::client_write_timeout);
  } else if (was_blocked && !blocked_) {
    parting_ && !parted_ ? arm_parting() : watch();
  }
}

void Http2Connection::notify(Http2Stream& stream) {
  if (!stream.Ready::linked()) ready_.push_back(stream);
  wake();
}

// Not while the turn's end is at work: it looks itself, and must come to an end.
void Http2Connection::wake() {
  if (!turn_ends_) downstream_.pump_later();
}

void Http2Connection::on_turn_end() {
  turn_ends_ = true;
  work_off();
  turn_ends_ = false;
}

void Http2Connection::work_off() {
  for (int round = 0; round < kRoundsPerTurn; ++round) {
    tell_streams();
    if (downstream_.lost()) {
      if (streams_.empty()) return downstream_.close(Reason::client_closed);
      if (ready_.empty()) return;
      continue;
    }
    make_frames();
    const bool written = write_out();
    if (broken_) return downstream_.close(Reason::client_closed);
    if (written && parted_ && streams_.empty()) return finish(end_reason_);
    if (written && session_.is_over() && !session_.wants_write()) return finish(session_.why());
    if (ready_.empty() && (!written || !session_.wants_write())) return;
  }
  downstream_.stream().want_write(true);  // goes on in the next turn, when others had theirs
}

// Those that are ready now. One that makes itself ready again, since the socket takes whatever comes, waits for the next round.
void Http2Connection::tell_streams() {
  IntrusiveList<Http2Stream, Http2ReadyTag> now;
  now.take_all(ready_);
  while (!now.empty()) now.pop_front().on_turn_end();
}

void Http2Connection::finish(Reason reason) {
  if (on_client_gone(reason)) return downstream_.close(reason);
  downstream_.linger(reason);
}

// --- streams ---

// `action` may end the stream.
template <typename Action>
void Http2Connection::for_each_stream(Action action) {
  IntrusiveList<Http2Stream, Http2StreamTag> before;
  before.take_all(streams_);
  while (!before.empty()) {
    Http2Stream& stream = before.pop_front();
    streams_.push_back(stream);
    action(stream);
  }
}

void Http2Connection::end_stream(Http2Stream& stream) {
  stream.Listed::unlink();
  stream.Ready::unlink();
  engine().end_http2_stream(stream);
  watch();
}

// The connection's one timer: while it has streams they have their own.
void Http2Connection::watch() {
  const bool idle = streams_.empty();
  if (idle && (parted_ || downstream_.lost())) wake();
  if (downstream_.lost()) return;
  downstream_.set_state(idle ? ConnectionState::idle : ConnectionState::waiting);
  if (blocked_ || (parting_ && !parted_)) return;
  rests_ = false;
  idle && !parted_ ? downstream_.arm(std::min(listener().timeouts.idle, kRestAfter), Reason::idle_timeout)
                   : downstream_.disarm();
}

// It idles, and may do so for longer.
bool Http2Connection::rest() {
  const Millis left = listener().timeouts.idle - kRestAfter;
  if (left <= Millis(0) || std::exchange(rests_, true)) return false;
  session_.rest();
  downstream_.arm(left, Reason::idle_timeout);
  return true;
}

// --- the end ---

void Http2Connection::part(Reason reason) {
  if (downstream_.lost() || std::exchange(parting_, true)) return;
  end_reason_ = reason;
  session_.announce_end();
  arm_parting();
  pump();
}

void Http2Connection::arm_parting() {
  if (!blocked_) downstream_.arm(parting_time(engine().current().snapshot()), end_reason_);
}

void Http2Connection::on_timer(Reason reason) {
  if (reason == Reason::client_write_timeout) return downstream_.close(reason);
  if (reason == Reason::idle_timeout && !parting_ && rest()) return;
  end_reason_ = reason;
  parting_ = parted_ = true;
  session_.end();
  pump();
  downstream_.pump_later();
}

void Http2Connection::shut_down() {
  for_each_stream([](Http2Stream& stream) { stream.shut_down(); });
  session_.end();
  pump();
  if (!downstream_.lost()) std::ignore = write_out();
}

bool Http2Connection::on_client_gone(Reason reason) {
  for_each_stream([reason](Http2Stream& stream) { stream.on_connection_gone(reason); });
  return !streams_.empty();
}

}  // namespace sluice::proxy
