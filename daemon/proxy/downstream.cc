#include "proxy/downstream.h"

#include <algorithm>

#include "base/log.h"
#include "http/parser.h"
#include "proxy/engine.h"
#include "proxy/exchange.h"
#include "proxy/http2_connection.h"
#include "proxy/problem.h"
#include "tls/server_context.h"

namespace sluice::proxy {

using stats::ConnectionState;

namespace {
constexpr int kReadsPerWake = 4;
constexpr int kRequestsPerSweep = 32;  // an exchange's memory is freed when the sweep is over
constexpr Millis kLingerFor{2'000};

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";  // RFC 9113 §3.4
}  // namespace

Millis parting_time(const snapshot::Snapshot& snapshot) {
  return std::clamp(snapshot.process.shutdown_grace / 30, Millis(100), Millis(5'000));
}

Downstream::Downstream(Engine& engine, ListenerSlot slot, const SocketAddress& peer, bool trusted)
    : Client(*this, engine),
      pending_(engine.loop().blocks()),
      slot_(slot),
      trusted_(trusted),
      peer_port_(peer.port()),
      peer_ip_length_(static_cast<uint8_t>(peer.write_ip(peer_ip_))) {
  engine.shard().step(stats::pick(series().connections, state_), 1);
}

Downstream::~Downstream() { SL_ASSERT(closed_ && exchange_ == nullptr); }

const ListenerSeries& Downstream::series() const { return engine().listener_series(slot_); }

SocketAddress Downstream::peer() const { return SocketAddress::parse_ip(peer_ip()).value_or(SocketAddress()); }

bool Downstream::last_request() const {
  const uint64_t limit = listener().requests_per_connection;
  return (half_closed_ && pending_.empty()) || (limit != 0 && requests_ >= limit) || engine().is_parting(slot_);
}

Reason Downstream::end_reason() const {
  if (engine().is_parting(slot_)) return Reason::drained;
  return last_request() && !half_closed_ ? Reason::requests_limit : Reason::keepalive_done;
}

void Downstream::open(int fd) {
  if (!stream_.open(engine().loop(), fd, *this)) return close(Reason::internal_error);
  const snapshot::ListenerSpec& listener = *engine().current().listener(slot_);
  if (comes_with_proxy_header(listener)) return expect_proxy_header(listener);
  begin(listener);
}

void Downstream::begin(const snapshot::ListenerSpec& listener) {
  if (listener.tls) return begin_handshake(listener);
  expect_first_request();
}

// Who connects is expected to speak.
void Downstream::expect_first_request() {
  if (engine().is_parting(slot_)) return part({});
  arm(engine().current().listener(slot_)->timeouts.request_header, Reason::idle_timeout);
}

void Downstream::begin_handshake(const snapshot::ListenerSpec& listener) {
  set_state(ConnectionState::handshake);
  std::unique_ptr<tls::Channel> channel = listener.tls->context->accept(stream_.fd());
  handshaking_ = channel.get();
  if (listener.tls->early_data) {
    const auto on_late = [](void* self) { static_cast<Downstream*>(self)->close(Reason::tls_handshake_timeout); };
    early_.reset(new EarlyData{*channel, event::Timer(engine().loop().timers(), on_late, this)});
    early_->deadline.set(engine().loop().now() + listener.timeouts.tls_handshake);
  }
  stream_.secure(std::move(channel));
  arm(listener.timeouts.tls_handshake, Reason::tls_handshake_timeout);
}

void Downstream::on_handshake_done() {
  const tls::Channel& channel = *std::exchange(handshaking_, nullptr);
  agreement_ = std::make_unique<const tls::Agreement>(channel.agreement());
  const auto kind = agreement_->resumed ? stats::TlsSession::resumed : stats::TlsSession::full;
  engine().shard().add(stats::pick(series().handshakes, kind));
  if (const int early = channel.early_data_status(); early != SSL_EARLY_DATA_NOT_SENT) {
    const bool accepted = early == SSL_EARLY_DATA_ACCEPTED;
    const auto result = accepted ? stats::EarlyData::accepted : stats::EarlyData::rejected;
    engine().shard().add(stats::pick(series().early_data, result));
  }
  if (!channel.is_early()) early_.reset();
  stream_.want_write(false);
  set_state(ConnectionState::idle);
  agreement_->alpn == "h2" ? begin_http2() : expect_first_request();
}

// Who ends the handshake is there: what comes from now on is no repetition.
void Downstream::follow_early_data(size_t got) {
  if (early_->channel.is_early()) return;
  early_->deadline.cancel();
  early_->late_bytes = std::min(early_->late_bytes, pending_.size()) + got;
  if (early_->late_bytes == pending_.size() + got) early_.reset();
}

// Whoever speaks HTTP to us, most likely a browser whose user left out the "s", is told in HTTP what to do.
void Downstream::on_handshake_failed() {
  const Reason reason = handshaking_->handshake_failure();
  log::debug("the TLS handshake with {} failed: {}", peer_ip(), handshaking_->failure());
  if (reason == Reason::tls_not_tls) send_problem(stream_.fd(), reason);
  close(reason);
}

void Downstream::part(const GenerationRef& last) {
  if (state_ == ConnectionState::handshake && !generation_) generation_ = last;  // parts when that is done
  if (closed_ || lingering_ || (http2_ == nullptr && state_ != ConnectionState::idle)) return;
  if (!generation_) generation_ = last;
  if (http2_ != nullptr) return http2_->part(Reason::drained);
  arm(parting_time(engine().current().snapshot()), Reason::drained);
}

void Downstream::close(Reason reason) {
  if (closed_) return;
  if (exchange_ != nullptr && !lost() && exchange_->outlives_client(reason)) return lose_client(reason);
  if (http2_ != nullptr && http2_->on_client_gone(reason)) return lose_client(reason);
  closed_ = true;
  if (Exchange* exchange = std::exchange(exchange_, nullptr)) exchange->on_client_gone(reason);
  disarm();
  early_.reset();
  stream_.close();
  handshaking_ = nullptr;
  pending_.clear();
  engine().shard().step(stats::pick(series().connections, state_), -1);
  engine().shard().add(stats::pick(series().closed, reason));
  engine().end_downstream(*this);
}

void Downstream::lose_client(Reason reason) {
  set_state(ConnectionState::lost);
  half_closed_ = true;
  close_reason_ = reason;
  disarm();
  pending_.clear();
  early_.reset();
  stream_.discard_writes();
  pump_later();  // what waited for the client goes nowhere now
}

void Downstream::shut_down() {
  if (exchange_ != nullptr) exchange_->fail({Reason::shutting_down, ""});
  if (http2_ != nullptr) http2_->shut_down();
  close(Reason::shutting_down);
}

void Downstream::set_state(ConnectionState state) {
  if (state == state_ || lost()) return;
  stats::Shard& shard = engine().shard();
  shard.step(stats::pick(series().connections, state_), -1);
  shard.step(stats::pick(series().connections, state), 1);
  state_ = state;
}

void Downstream::on_timer() {
  if (exchange_ != nullptr) return exchange_->on_client_timeout(timer_reason());
  if (lingering_) return close(close_reason_);
  if (http2_ != nullptr) return http2_->on_timer(timer_reason());
  if (timer_reason() == Reason::request_header_timeout) return refuse_head({Reason::request_header_timeout, ""});
  close(timer_reason());
}

void Downstream::send_trailers(std::string_view text, Outbox& out) {
  out.add("0\r\n");
  out.add(text);
}

event::IoStatus Downstream::flush(Outbox& out, bool) {
  const uint64_t before = out.sent();
  const event::IoStatus status = out.flush(stream_);
  engine().shard().add(series().sent, out.sent() - before);
  return status;
}

void Downstream::abort(Outbox& out, bool end_means_complete, Reason reason) {
  if (flush(out, true) != event::IoStatus::ok || end_means_complete) stream_.close_with_reset();
  close(reason);
}

void Downstream::on_readable() {
  if (expects_proxy_header_) [[unlikely]]
    return read_proxy_header();
  const std::span<char> buffer = engine().loop().read_buffer();
  for (int i = 0; i < kReadsPerWake && !closed_ && !pump_scheduled_ && stream_.wants_read(); ++i) {
    // While bytes wait unprocessed only as much is read as the queue can hold beside them.
    const size_t room = pending_.empty() ? buffer.size() : std::min(buffer.size(), pending_.room());
    const event::IoResult result = stream_.read(buffer.first(room));
    if (early_ != nullptr) [[unlikely]] {
      const tls::Channel& channel = early_->channel;
      if (result.status == event::IoStatus::error && channel.is_early()) {
        return close(lingering_ ? close_reason_ : channel.handshake_failure());
      }
      follow_early_data(result.bytes);
    }
    if (result.status == event::IoStatus::again) return;
    if (result.status == event::IoStatus::eof) return on_client_eof();
    if (result.status == event::IoStatus::error) return close(Reason::client_closed);
    engine().shard().add(series().received, result.bytes);
    if (!lingering_) take({buffer.data(), result.bytes});
    if (result.bytes < room) return;
  }
}

void Downstream::on_writable() {
  if (handshaking_ != nullptr) return on_handshake_done();
  if (exchange_ != nullptr) return exchange_->on_client_writable();
  if (http2_ != nullptr && !lingering_) return http2_->on_turn_end();
  stream_.want_write(false);
}

void Downstream::on_error() {
  if (handshaking_ != nullptr) return on_handshake_failed();
  close(lingering_ ? close_reason_ : Reason::client_closed);
}

void Downstream::on_client_eof() {
  if (lingering_) return close(close_reason_);
  half_closed_ = true;
  stream_.want_read(false);  // a FIN stays readable for ever
  if (exchange_ != nullptr) return exchange_->on_client_eof();
  const bool idle = http2_ != nullptr ? state_ == ConnectionState::idle : pending_.empty();
  close(idle ? Reason::keepalive_done : Reason::client_closed);
}

void Downstream::take(std::string_view bytes) {
  if (http2_ != nullptr) return http2_->receive(bytes, early_ != nullptr);
  processing_ = true;
  if (pending_.empty()) {
    const std::string_view rest = process(bytes);
    if (!closed_ && !lost()) pending_.append(rest);
  } else {
    pending_.append(bytes);
    const std::string_view rest = process(pending_.view());
    if (!closed_ && !lost()) pending_.consume(pending_.size() - rest.size());
  }
  processing_ = false;
  if (closed_ || exchange_ == nullptr) return;
  if (pending_.size() > kHighWatermark) pause_reading();  // pipelined requests that have to wait
}

// Looks at what can be looked at now and returns the rest: an unfinished head, or requests behind the current one.
std::string_view Downstream::process(std::string_view bytes) {
  for (int begun = 0; !closed_ && !lingering_;) {
    if (exchange_ == nullptr) {
      if (begun++ == kRequestsPerSweep) pump_later();
      if (begun > kRequestsPerSweep || bytes.empty() || !begin_request(bytes)) break;
    }
    if (exchange_ == nullptr) continue;
    if (!exchange_->request_complete()) {
      bytes = exchange_->take_request_bytes(bytes);
      if (exchange_ != nullptr) exchange_->on_client_pause_point();
    } else {
      exchange_->on_client_pause_point();
    }
    if (exchange_ != nullptr) break;  // one at a time
  }
  return closed_ || lingering_ ? std::string_view() : bytes;
}

// HTTP/2 by prior knowledge (RFC 9113 §3.3). No request of HTTP/1.1 begins like that.
bool Downstream::begins_http2(std::string_view bytes) const {
  const std::string_view preface = kHttp2Preface.substr(0, bytes.size());
  return requests_ == 0 && bytes.size() >= 3 && bytes.starts_with(preface) && listener().http2;
}

void Downstream::begin_http2() {
  if (!engine().is_parting(slot_)) generation_.let_go();
  set_state(ConnectionState::idle);
  http2_ = std::make_unique<Http2Connection>(*this);
  http2_->pump();
  expect_first_request();
}

// Takes a head off the front of `bytes` and starts its exchange. False if it is not complete, or refused.
bool Downstream::begin_request(std::string_view& bytes) {
  if (state_ == ConnectionState::idle) request_began_ = engine().loop().now();
  if (!generation_) generation_ = GenerationRef(engine().current());
  if (begins_http2(bytes)) {
    if (bytes.size() < kHttp2Preface.size()) {
      expect_rest_of_head();
      return false;
    }
    begin_http2();
    http2_->receive(std::exchange(bytes, {}), early_ != nullptr);
    return false;
  }
  // An empty line is tolerated (RFC 9112 §2.2). It is kept with the head behind it, and half of one waits for the rest: in
  // how many pieces all this comes makes no difference.
  const std::string_view from_line = bytes.substr(bytes == "\r" ? 1 : http::skip_leading_crlf(bytes));
  http::RequestHead head;
  const Result<size_t> length =
      http::read_request(from_line, listener().head, scanner_, engine().field_scratch(), head);
  if (!length) {
    refuse_head(length.error());
    return false;
  }
  if (*length == 0) {
    if (!bytes.empty()) expect_rest_of_head();
    return false;
  }
  disarm();
  ++requests_;
  set_state(ConnectionState::waiting);
  exchange_ = &engine().start_exchange(*this);
  exchange_->start(head, from_line.substr(0, *length), early_ != nullptr && from_line.size() > early_->late_bytes);
  bytes = from_line.substr(*length);
  return true;
}

void Downstream::expect_rest_of_head() {
  if (state_ != ConnectionState::idle) return;
  set_state(ConnectionState::reading);
  arm(listener().timeouts.request_header, Reason::request_header_timeout);
}

void Downstream::refuse_head(Error error) {
  disarm();
  scanner_.reset();
  ++requests_;
  set_state(ConnectionState::waiting);
  exchange_ = &engine().start_exchange(*this);
  exchange_->refuse(error);
}

void Downstream::resume_reading() {
  if (closed_) return;
  if (!half_closed_ && pending_.size() <= kHighWatermark) stream_.want_read(true);
  if (half_closed_ || !pending_.empty()) pump_later();
}

void Downstream::on_exchange_end(After after, Reason failure) {
  exchange_ = nullptr;
  const Reason reason = failure != Reason::none ? failure : end_reason();
  if (closed_) return;
  if (lost()) return close(close_reason_);
  if (after == After::close && pending_.empty() && early_ == nullptr) return close(reason);
  if (after != After::keep_alive || (half_closed_ && pending_.empty())) return linger(reason);
  become_idle();
  if (!processing_ && !pending_.empty()) pump_later();
}

void Downstream::become_idle() {
  set_state(ConnectionState::idle);
  if (engine().is_parting(slot_)) {
    part({});
  } else {
    arm(listener().timeouts.idle, Reason::idle_timeout);
    generation_.let_go();
  }
  if (!half_closed_) stream_.want_read(pending_.size() <= kHighWatermark);
}

void Downstream::linger(Reason reason) {
  if (half_closed_) return close(reason);
  lingering_ = true;
  close_reason_ = reason;
  set_state(ConnectionState::writing);
  pending_.clear();
  stream_.shutdown_write();
  stream_.want_write(false);
  stream_.want_read(true);
  arm(kLingerFor, reason);
}

void Downstream::pump_later() {
  if (pump_scheduled_ || closed_) return;
  pump_scheduled_ = true;
  engine().loop().at_turn_end([](void* self) { static_cast<Downstream*>(self)->pump(); }, this);
}

void Downstream::pump() {
  pump_scheduled_ = false;
  if (closed_) return;
  if (http2_ != nullptr) {
    if (!lingering_) http2_->on_turn_end();
    return;
  }
  if (lost()) return exchange_->on_client_writable();
  processing_ = true;
  const std::string_view rest = process(pending_.view());
  if (!closed_ && !lingering_ && !lost()) pending_.consume(pending_.size() - rest.size());
  processing_ = false;
  if (closed_ || lingering_) return;
  if (half_closed_) {
    if (pump_scheduled_) return;
    if (exchange_ == nullptr) return close(pending_.empty() ? Reason::keepalive_done : Reason::client_closed);
    if (pending_.empty()) exchange_->on_client_eof();
  } else if (pending_.size() <= kLowWatermark && !(exchange_ != nullptr && exchange_->holds_client_back())) {
    stream_.want_read(true);
  }
}

}  // namespace sluice::proxy
