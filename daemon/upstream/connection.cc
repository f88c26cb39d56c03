#include "upstream/connection.h"

#include <algorithm>

#include "http/parser.h"
#include "upstream/pool.h"

namespace sluice::upstream {

namespace {
constexpr int kReadsPerWake = 4;
constexpr uint8_t kMaxInformationals = 16;
constexpr http::HeadLimits kHeadLimits{.first_line_bytes = 8 * 1024, .head_bytes = 64 * 1024, .fields = 256};
}  // namespace

Connection::Connection(Pool& pool, event::Loop& loop)
    : pool_(pool),
      loop_(loop),
      timer_(
          loop.timers(), [](void* self) { static_cast<Connection*>(self)->on_timer(); }, this),
      head_bytes_(loop.blocks()),
      opened_at_(loop.now()) {}

Connection::~Connection() = default;

Result<void> Connection::connect(const SocketAddress& address) { return stream_.connect(loop_, address, *this); }

Carrier& Connection::lease(User& user, http::Method method) {
  ++served_;
  if (http2_ != nullptr) return http2_->lend(user, method, reused());
  timer_.cancel();
  SL_ASSERT(state_ == State::idle && user_ == nullptr);
  user_ = &user;
  method_ = method;
  state_ = State::head;
  leased_turn_ = loop_.turns();
  scanner_.reset();
  // The user before may have ended, and this one begun, inside of consume(): what is kept there is not this one's.
  head_bytes_.clear();
  informationals_ = 0;
  informational_bytes_ = 0;
  reusable_ = true;
  got_bytes_ = false;
  return *this;
}

void Connection::begin(std::string_view head, const http::BodyFraming& body) {
  writer_.begin(head, body.kind == http::BodyFraming::Kind::chunked);
}

event::IoResult Connection::send(std::span<const iovec> body, bool last, std::string_view trailers) {
  const event::IoResult result = writer_.write(stream_, body, last, trailers);
  stream_.want_write(result.status == event::IoStatus::again);
  return result;
}

void Connection::give_back(Reason reason) {
  user_ = nullptr;
  pool_.release(*this, reason);
}

void Connection::arm(Millis after, Reason reason) {
  timeout_reason_ = reason;
  timer_.set(loop_.now() + after);
}

void Connection::become_idle(Millis idle_for) {
  if (http2_ != nullptr) return timer_.set(loop_.now() + idle_for);
  state_ = State::idle;
  user_ = nullptr;
  timer_.set(loop_.now() + idle_for);
  stream_.want_read(true);
  stream_.want_write(false);
}

void Connection::pause_reading() {
  stream_.want_read(false);
  if (state_ == State::body) timer_.cancel();  // it is the client that is slow; its write timeout watches
}

void Connection::resume_reading() {
  if (stream_.wants_read()) return;
  stream_.want_read(true);
  if (state_ == State::body) pool_.arm_body_timeout(*this);
}

void Connection::on_timer() {
  if (state_ == State::connecting) return pool_.on_connect_failed(*this, {Reason::connect_timeout, ""});
  if (state_ == State::securing) {
    return pool_.on_connect_failed(*this, {Reason::connect_timeout, "it did not end the TLS handshake"});
  }
  if (state_ == State::idle) return pool_.on_idle_over(*this);
  if (http2_ != nullptr) return http2_->on_timer();
  fail(timeout_reason_, "");
}

void Connection::on_error() {
  if (http2_ != nullptr) return http2_->fail({Reason::upstream_reset, "socket error"});
  if (!is_made()) {
    const Result<void> made = stream_.outcome();
    return pool_.on_connect_failed(*this, made ? Error{Reason::connect_failed, ""} : made.error());
  }
  if (state_ == State::idle) return pool_.on_idle_closed(*this, Reason::upstream_closed_idle);
  if (user_ != nullptr) fail(Reason::upstream_reset, "socket error while reading was paused");
}

void Connection::on_writable() {
  if (http2_ != nullptr) return http2_->on_writable();
  if (is_made()) {
    if (user_ != nullptr) user_->on_upstream_writable();
    return;
  }
  if (const Result<void> made = stream_.outcome(); !made) return pool_.on_connect_failed(*this, made.error());
  if (state_ == State::connecting && !pool_.introduce(*this)) return;
  if (state_ == State::connecting && pool_.speaks_tls()) {
    state_ = State::securing;
    return stream_.secure(pool_.make_transport(stream_.fd()));
  }
  stream_.want_write(false);
  using snapshot::Protocol;
  const event::Transport* transport = stream_.transport();
  const bool agreed = transport != nullptr && transport->protocol() == "h2";
  if (agreed || (transport == nullptr && pool_.protocol() == Protocol::http2)) return begin_http2();
  if (pool_.protocol() == Protocol::http2) {
    return pool_.on_connect_failed(*this, {Reason::upstream_http2_error, "it did not choose HTTP/2 (ALPN)"});
  }
  pool_.on_connected(*this);
}

void Connection::begin_http2() {
  state_ = State::http2;
  http2_ = std::make_unique<Http2Connection>(*this, pool_, loop_, stream_);
  http2_->start();
}

void Connection::on_readable() {
  if (http2_ != nullptr) return http2_->on_readable();
  if (!is_made()) return;  // a refused connection shows itself as writable or as an error too
  if (state_ == State::idle) {
    // Nothing is due here: either the peer closed, or it speaks out of turn and cannot be trusted.
    char byte;
    const event::IoResult result = stream_.read({&byte, 1});
    if (result.status == event::IoStatus::again) return;
    const bool spoke = result.status == event::IoStatus::ok;
    return pool_.on_idle_closed(*this, spoke ? Reason::upstream_bad_response : Reason::upstream_closed_idle);
  }
  if (state_ == State::head && is_older_than_request()) {
    char byte;  // TLS has messages of its own, which are nobody's
    if (stream_.read({&byte, 1}).status == event::IoStatus::again) return;
    return fail(Reason::upstream_reset, "bytes or an end that came before the request");
  }
  read_some();
}

// True if what can be read now cannot be an answer: the loop heard of it in this turn before any callback ran, and the
// lease began in one of them. It is the end of a stale connection, or what an endpoint said out of turn, which nobody may
// take for its response. A first exchange is no one's successor: an endpoint that refuses by answering at once is heard.
bool Connection::is_older_than_request() const { return reused() && leased_turn_ == loop_.turns(); }

void Connection::read_some() {
  const std::span<char> buffer = loop_.read_buffer();
  for (int i = 0; i < kReadsPerWake && user_ != nullptr && stream_.wants_read(); ++i) {
    if (state_ == State::body && body_.kind == http::BodyFraming::Kind::length && splice_some()) return;
    // 1xx responses go to the client whole, and it may take none of them: what is read at once has to fit beside what it
    // left and the begun head.
    const size_t most = state_ == State::head ? kHeadLimits.head_bytes : buffer.size();
    const event::IoResult result = stream_.read(buffer.first(most));
    if (result.status == event::IoStatus::again) return;
    if (result.status == event::IoStatus::eof) return on_eof();
    if (result.status == event::IoStatus::error) return fail_to_talk("read failed");
    got_bytes_ = true;
    // The end may be known already: TLS tells of it together with the last bytes.
    const event::Transport* transport = stream_.transport();
    read_all_ = result.bytes < most && (transport == nullptr || !transport->has_pending());
    consume({buffer.data(), result.bytes});
    if (user_ != nullptr) user_->on_upstream_pause_point();
    if (state_ != State::head) head_bytes_.clear();
    if (result.bytes < most) return;
  }
}

// Moves body bytes to the user's pipe; false if the user wants to see them.
bool Connection::splice_some() {
  event::Pipe* pipe = stream_.can_splice() ? user_->offer_splice(body_.length) : nullptr;
  if (pipe == nullptr) return false;
  for (int i = 0; i < kReadsPerWake && user_ != nullptr && stream_.wants_read(); ++i) {
    const event::IoResult result =
        stream_.splice_to_pipe(pipe->write_end(), std::min<uint64_t>(body_.length, pipe->room()));
    if (result.status == event::IoStatus::again) break;
    if (result.status != event::IoStatus::ok) {
      result.status == event::IoStatus::eof ? on_eof() : fail(Reason::upstream_reset, "splice failed");
      break;
    }
    pipe->added(result.bytes);
    body_.length -= result.bytes;
    pool_.arm_body_timeout(*this);
    if (body_.length == 0) {
      read_all_ = false;
      end_response(false);
      return true;  // the pipe is gone, and the user may be another one
    }
    user_->on_upstream_pause_point();
  }
  return true;
}

void Connection::consume(std::string_view bytes) {
  if (state_ == State::head) {
    if (!head_bytes_.empty()) {
      if (head_bytes_.room() < bytes.size()) return fail(Reason::upstream_head_too_large, "");
      head_bytes_.append(bytes);
      bytes = head_bytes_.view();
    }
    while (state_ == State::head && user_ != nullptr) {
      if (!take_head(bytes)) return keep_unfinished_head(bytes);
    }
  }
  if (user_ == nullptr) return;
  if (state_ == State::done) {
    reusable_ = reusable_ && bytes.empty();
  } else if (body_.empty() && state_ == State::body) {
    end_response(!bytes.empty());
  } else {
    take_body(bytes);
  }
}

void Connection::keep_unfinished_head(std::string_view bytes) {
  if (user_ == nullptr) return;
  if (head_bytes_.empty()) {
    head_bytes_.append(bytes);
  } else {
    head_bytes_.consume(head_bytes_.size() - bytes.size());  // `bytes` is the tail of what it holds
  }
}

// Takes one head off the front of `bytes`. False if it is not complete yet, or the connection failed.
bool Connection::take_head(std::string_view& bytes) {
  http::ResponseHead head;
  const Result<size_t> length = http::read_response(bytes, kHeadLimits, scanner_, pool_.field_scratch(), head);
  if (!length) fail(length.error().reason, length.error().detail);
  if (!length || *length == 0) return false;
  bytes.remove_prefix(*length);
  return head.status < 200 && head.status != 101 ? deliver_informational(head, *length) : deliver_head(head);
}

// The user keeps all 1xx heads of a response in memory, so that together they may be no larger than one head.
bool Connection::deliver_informational(const http::ResponseHead& head, size_t bytes) {
  informational_bytes_ += static_cast<uint32_t>(bytes);
  if (++informationals_ > kMaxInformationals) {
    fail(Reason::upstream_bad_response, "too many 1xx responses");
  } else if (informational_bytes_ > kHeadLimits.head_bytes) {
    fail(Reason::upstream_head_too_large, "too large 1xx responses");
  } else {
    user_->on_informational(head);
  }
  return user_ != nullptr;
}

bool Connection::deliver_head(const http::ResponseHead& head) {
  const Result<http::ResponseFraming> framing = http::response_framing(head, method_);
  if (!framing) {
    fail(framing.error().reason, framing.error().detail);
    return false;
  }
  body_ = framing->body;
  reusable_ = reusable_ && framing->keep_alive;
  chunks_ = {};
  state_ = head.status == 101 ? State::tunnel : State::body;
  if (state_ == State::tunnel) body_ = {http::BodyFraming::Kind::until_close, 0};
  pool_.arm_body_timeout(*this);
  user_->on_response_head(head, *framing);
  return user_ != nullptr;
}

void Connection::take_body(std::string_view bytes) {
  if (bytes.empty()) return;
  if (state_ == State::body) pool_.arm_body_timeout(*this);
  switch (body_.kind) {
    case http::BodyFraming::Kind::chunked: return take_chunked(bytes);
    case http::BodyFraming::Kind::until_close: return user_->on_response_body(bytes);
    case http::BodyFraming::Kind::none:
    case http::BodyFraming::Kind::length: break;
  }
  const std::string_view data = bytes.substr(0, body_.length);
  body_.length -= data.size();
  user_->on_response_body(data);
  if (user_ != nullptr && body_.length == 0) end_response(data.size() < bytes.size());
}

void Connection::take_chunked(std::string_view bytes) {
  while (user_ != nullptr) {
    const Result<http::ChunkedDecoder::Step> step = chunks_.next(bytes);
    if (!step) return fail(Reason::upstream_bad_body, step.error().detail);
    bytes.remove_prefix(step->consumed);
    if (!step->data.empty()) user_->on_response_body(step->data);
    if (step->done && user_ != nullptr) return end_response(!bytes.empty());
    if (step->consumed == 0) return;
  }
}

// `surplus_bytes`: the endpoint sent more than its framing said. What they mean is unknowable, so nobody reads on.
void Connection::end_response(bool surplus_bytes) {
  http::HeaderMap trailers;
  if (body_.kind == http::BodyFraming::Kind::chunked && !chunks_.trailers().empty()) {
    const auto scratch = pool_.field_scratch();
    if (chunks_.trailer_fields() > scratch.size()) return fail(Reason::upstream_bad_body, "too many trailers");
    const Result<http::HeaderMap> parsed =
        http::parse_fields(chunks_.trailers(), scratch.first(chunks_.trailer_fields()));
    if (!parsed) return fail(Reason::upstream_bad_body, "malformed trailers");
    trailers = *parsed;
  }
  state_ = State::done;
  reusable_ = reusable_ && !surplus_bytes && !more_is_there();
  timer_.cancel();
  user_->on_response_end(trailers);
}

// The response's last byte was read, and nothing past it. Who waits for the connection may get it at once, so what stands
// in the socket already must not be left for it.
bool Connection::more_is_there() {
  char byte;
  return !read_all_ && stream_.read({&byte, 1}).status != event::IoStatus::again;
}

void Connection::on_eof() {
  if (state_ == State::tunnel || (state_ == State::body && body_.kind == http::BodyFraming::Kind::until_close)) {
    state_ = State::done;
    reusable_ = false;
    timer_.cancel();
    stream_.want_read(false);
    user_->on_response_end({});
    if (user_ != nullptr) user_->on_upstream_pause_point();
    return;
  }
  if (state_ == State::done) {
    // The response is complete, but the request is still on its way: nobody will read the rest of it.
    reusable_ = false;
    stream_.want_read(false);
    return;
  }
  fail(state_ == State::head ? Reason::upstream_reset : Reason::upstream_truncated, "the endpoint closed");
}

// In TLS 1.3 a server looks at our certificate when our side of the handshake is done: then it is now that it refuses it.
void Connection::fail_to_talk(const char* detail) {
  const event::Transport* transport = stream_.transport();
  if (transport != nullptr && *transport->failure() != '\0') detail = transport->failure();
  const bool refused = transport != nullptr && transport->was_refused() && !reused() && !got_bytes_;
  if (refused) pool_.on_tls_failed(detail);
  fail(refused ? Reason::tls_handshake_failed : Reason::upstream_reset, detail);
}

void Connection::fail(Reason reason, const char* detail) {
  if (state_ == State::body && reason == Reason::upstream_reset) reason = Reason::upstream_truncated;
  reusable_ = false;
  timer_.cancel();
  if (user_ != nullptr) user_->on_upstream_error({reason, detail});
}

void Connection::close() {
  state_ = State::closed;
  Introduced::unlink();
  user_ = nullptr;
  if (http2_ != nullptr) http2_->close();
  timer_.cancel();
  stream_.close();
}

}  // namespace sluice::upstream
