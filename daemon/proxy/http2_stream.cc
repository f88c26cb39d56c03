#include "proxy/http2_stream.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "http/parser.h"
#include "proxy/engine.h"
#include "proxy/http2_connection.h"

namespace sluice::proxy {

using http2::ErrorCode;

namespace {

/// The fields of a head or trailer section that the gateway composed.
class ComposedFields {
 public:
  /// `block` ends with its empty line.
  explicit ComposedFields(std::string_view block) {
    const auto lines = static_cast<size_t>(std::count(block.begin(), block.end(), '\n'));
    std::span<http::HeaderField> room = few_;
    if (lines > room.size()) {
      many_.resize(lines);
      room = many_;
    }
    const Result<http::HeaderMap> parsed = http::parse_fields(block, room);
    SL_ASSERT(parsed.has_value());
    map_ = *parsed;
  }
  [[nodiscard]] http::HeaderMap& map() { return map_; }

 private:
  std::array<http::HeaderField, 48> few_;
  std::vector<http::HeaderField> many_;
  http::HeaderMap map_;
};

/// "HTTP/1.1 200 OK"
uint16_t status_of(std::string_view head) {
  const char* digits = head.data() + sizeof("HTTP/1.1");
  return static_cast<uint16_t>((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
}

std::string_view behind_first_line(std::string_view head) { return head.substr(head.find('\n') + 1); }

}  // namespace

Http2Stream::Http2Stream(Http2Connection& connection, int32_t id, GenerationRef generation)
    : Client(connection.downstream(), connection.engine()),
      http2_(connection),
      pending_(engine().loop().blocks()),
      id_(id) {
  generation_ = std::move(generation);
  request_began_ = engine().loop().now();
}

Http2Stream::~Http2Stream() { SL_ASSERT(exchange_ == nullptr); }

// --- what the client sends ---

void Http2Stream::on_request(const Result<http::RequestHead>& head, const http2::RequestFacts& facts) {
  is_connect_ = facts.is_connect;
  ended_ = facts.ends;
  end_given_ = facts.ends && !facts.is_connect;  // a tunnel that begins hears of it
  exchange_ = &engine().start_exchange(*this);
  if (head) {
    exchange_->start(*head, facts.text, facts.early);
  } else {
    exchange_->refuse(head.error(), http::Version::http2, facts.method);
  }
  if (exchange_ != nullptr) exchange_->on_client_pause_point();
}

void Http2Stream::on_data(std::string_view data) {
  const bool tunnel_may_begin = is_connect_ && exchange_ != nullptr;
  if (exchange_ == nullptr || lost_ || (exchange_->request_complete() && !tunnel_may_begin)) {
    return http2_.session().consume(id_, data.size());  // nobody wants it any more
  }
  if (tunnel_may_begin || paused_ || !pending_.empty()) return pending_.append(data);
  pending_.append(give(data));
}

// Hands on what the exchange takes, and returns the rest.
std::string_view Http2Stream::give(std::string_view data) {
  const std::string_view rest = exchange_->take_request_bytes(data);
  http2_.session().consume(id_, data.size() - rest.size());
  if (exchange_ == nullptr) return {};
  exchange_->on_client_pause_point();
  return exchange_ == nullptr ? std::string_view() : rest;
}

void Http2Stream::on_end(std::string_view trailers, size_t fields) {
  ended_ = true;
  if (exchange_ == nullptr || lost_) return;
  if (is_connect_ || paused_ || !pending_.empty()) {
    request_trailers_ = trailers;
    request_trailer_fields_ = fields;
    return;
  }
  end_given_ = true;
  exchange_->on_request_end(trailers, fields);
}

void Http2Stream::give_pending() {
  if (is_connect_ || paused_ || lost_) return;
  if (!pending_.empty()) {
    const size_t rest = give(pending_.view()).size();
    if (exchange_ == nullptr) return;
    pending_.consume(pending_.size() - rest);
  }
  if (paused_ || !pending_.empty() || !ended_ || end_given_) return;
  end_given_ = true;
  exchange_->on_request_end(request_trailers_, request_trailer_fields_);
}

void Http2Stream::resume_reading() {
  paused_ = false;
  if (!pending_.empty() || (ended_ && !end_given_)) http2_.notify(*this);
}

void Http2Stream::set_state(stats::ConnectionState state) {
  if (state == stats::ConnectionState::tunnel) is_connect_ = false;
}

// --- what the client gets ---

void Http2Stream::send_head(std::string_view text, Outbox&) {
  const uint16_t status = status_of(text);
  if (status >= 200 || status == 101) {
    head_ = text;
  } else if (!closed_) {
    ComposedFields fields(behind_first_line(text));
    http2_.session().inform(id_, status, fields.map());
  }
}

void Http2Stream::submit_head(bool last) {
  ComposedFields fields(behind_first_line(head_));
  const uint16_t status = status_of(head_);
  head_ = {};
  if (closed_) return;
  if (status == 101) fields.map().remove("sec-websocket-accept");  // RFC 8441 §5: 200 says it all
  http2_.session().respond(id_, status == 101 ? 200 : status, fields.map(), last);
}

void Http2Stream::send_trailers(std::string_view text, Outbox&) {
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  trailer_fields_.resize(lines);
  const Result<http::HeaderMap> parsed = http::parse_fields(text, trailer_fields_);
  SL_ASSERT(parsed.has_value());
  trailers_ = *parsed;
}

event::IoStatus Http2Stream::flush(Outbox& out, bool last) {
  if (lost_) {
    out.drop();
    return event::IoStatus::ok;
  }
  out_ = &out;
  last_ = last;
  if (!head_.empty()) submit_head(last && out.empty() && trailers_.size() == 0);
  if (closed_ && !end_sent_) {
    out.hold();
    return event::IoStatus::error;
  }
  if (!end_sent_ && (last || !out.empty())) http2_.session().resume(id_);
  http2_.pump();
  out.hold();
  return out.empty() && (!last || end_sent_) ? event::IoStatus::ok : event::IoStatus::again;
}

http2::ServerStream::Offer Http2Stream::offer() {
  if (out_ == nullptr) return {};
  return {out_->size(), last_, last_ && trailers_.size() > 0 ? &trailers_ : nullptr};
}

void Http2Stream::take(size_t bytes, Buffer& out) {
  out_->take(bytes, out);
  if (wants_write_) http2_.notify(*this);
}

void Http2Stream::on_end_sent() {
  end_sent_ = true;
  if (wants_write_) http2_.notify(*this);
}

// Who asks although all was taken has more, and waits for nothing but its turn.
void Http2Stream::want_write(bool want) {
  const bool is_new = want && !wants_write_;
  wants_write_ = want;
  if (is_new && out_ != nullptr && out_->empty() && !end_sent_ && !closed_) http2_.notify(*this);
}

void Http2Stream::abort(Outbox& out, bool, Reason reason) {
  if (!closed_) std::ignore = flush(out, false);
  reset(ErrorCode::internal_error);
  close(reason);
}

void Http2Stream::reset(ErrorCode code) {
  if (closed_ || std::exchange(reset_, true)) return;
  http2_.session().reset(id_, code);
  http2_.pump();
}

// --- the end ---

void Http2Stream::on_timer() { exchange_->on_client_timeout(timer_reason()); }

void Http2Stream::on_stream_closed() {
  closed_ = true;
  http2_.notify(*this);
}

void Http2Stream::on_turn_end() {
  if (exchange_ == nullptr) return leave();
  const bool is_whole = ended_ && end_sent_;  // closed for this, it has nothing more to tell the client
  if (!closed_ || is_whole) give_pending();
  if (exchange_ != nullptr && (wants_write_ || lost_)) exchange_->on_client_writable();
  if (exchange_ != nullptr && closed_ && !lost_ && !is_whole) close(Reason::http2_reset);
}

void Http2Stream::on_connection_gone(Reason reason) {
  closed_ = true;
  if (lost_ && reason != Reason::shutting_down) return;  // its exchange goes on without a client already
  exchange_ != nullptr ? close(reason) : leave();
}

void Http2Stream::shut_down() {
  if (exchange_ != nullptr) exchange_->fail({Reason::shutting_down, ""});
}

void Http2Stream::close(Reason reason) {
  if (exchange_ == nullptr) return;
  if (reason == Reason::client_closed && closed_ && !connection_gone_) reason = Reason::http2_reset;
  pending_.clear();
  if (!lost_ && exchange_->outlives_client(reason)) {
    lost_ = true;
    disarm();
    reset(ErrorCode::cancel);
    return http2_.notify(*this);  // what waited for the client goes nowhere now
  }
  Exchange* exchange = std::exchange(exchange_, nullptr);
  out_ = nullptr;
  disarm();
  exchange->on_client_gone(reason);
  reset(row(reason).side == Side::downstream ? ErrorCode::cancel : ErrorCode::internal_error);
  leave();
}

// An answer before the request's end: the rest is not wanted (RFC 9113 §8.1).
void Http2Stream::on_exchange_end(After, Reason) {
  exchange_ = nullptr;
  out_ = nullptr;
  pending_.clear();
  disarm();
  if (!ended_ || !end_sent_) reset(end_sent_ ? ErrorCode::no_error : ErrorCode::internal_error);
  leave();
}

void Http2Stream::leave() {
  if (closed_ && exchange_ == nullptr) http2_.end_stream(*this);
}

}  // namespace sluice::proxy
