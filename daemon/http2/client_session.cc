#include "http2/client_session.h"

#include <algorithm>

#include "base/assert.h"
#include "base/strings.h"
#include "http/parser.h"

namespace sluice::http2 {

namespace {

constexpr size_t kMaxHeadBytes = 64 * 1024;
constexpr size_t kMaxFields = 256;

std::string_view text_of(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

// What RST_STREAM, ours or theirs, says of a response.
Error meaning_of(uint32_t code) {
  switch (code) {
    case NGHTTP2_REFUSED_STREAM: return {Reason::upstream_refused, ""};
    case NGHTTP2_PROTOCOL_ERROR:
    case NGHTTP2_FLOW_CONTROL_ERROR:
    case NGHTTP2_STREAM_CLOSED:
    case NGHTTP2_FRAME_SIZE_ERROR:
    case NGHTTP2_COMPRESSION_ERROR: return {Reason::upstream_http2_error, nghttp2_http2_strerror(code)};
    default: return {Reason::upstream_reset, nghttp2_http2_strerror(code)};
  }
}

size_t lines_of(std::string_view text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

nghttp2_session_callbacks* ClientSession::callbacks() {
  static const CallbacksPtr kCallbacks = [] {
    nghttp2_session_callbacks* made = nullptr;
    SL_ASSERT(nghttp2_session_callbacks_new(&made) == 0);
#define SL_SELF (*static_cast<ClientSession*>(self))
    nghttp2_session_callbacks_set_on_begin_headers_callback(
        made, [](nghttp2_session*, const nghttp2_frame*, void* self) { return SL_SELF.on_begin_headers(); });
    nghttp2_session_callbacks_set_on_header_callback(
        made, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                 const uint8_t* value, size_t value_size, uint8_t, void* self) {
          return SL_SELF.on_header(*frame, text_of(name, name_size), text_of(value, value_size));
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        made, [](nghttp2_session*, const nghttp2_frame* frame, void* self) { return SL_SELF.on_frame(*frame); });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        made, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          return SL_SELF.on_data(id, text_of(data, size));
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        made,
        [](nghttp2_session*, int32_t id, uint32_t code, void* self) { return SL_SELF.on_stream_close(id, code); });
    nghttp2_session_callbacks_set_on_frame_not_send_callback(
        made, [](nghttp2_session*, const nghttp2_frame* frame, int, void* self) {
          return SL_SELF.on_frame_not_sent(*frame);
        });
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
        made, [](nghttp2_session*, const nghttp2_frame* frame, int error, void* self) {
          return SL_SELF.on_invalid_frame(*frame, error);
        });
#undef SL_SELF
    return CallbacksPtr(made);
  }();
  return kCallbacks.get();
}

ClientSession::ClientSession(BlockPool& blocks) : block_(blocks), fields_(kMaxFields) {
  nghttp2_option* made_option = nullptr;
  SL_ASSERT(nghttp2_option_new(&made_option) == 0);
  const OptionPtr option(made_option);
  nghttp2_option_set_no_auto_window_update(option.get(), 1);  // windows open when somebody took what came
  nghttp2_session* made = nullptr;
  SL_ASSERT(nghttp2_session_client_new2(&made, callbacks(), this, option.get()) == 0);
  session_.reset(made);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeadBytes},
  };
  SL_ASSERT(nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  SL_ASSERT(nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0);
}

bool ClientSession::receive(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const ssize_t read = nghttp2_session_mem_recv(session_.get(), data, bytes.size());
  if (read < 0) failure_ = nghttp2_strerror(static_cast<int>(read));
  return read >= 0;
}

void ClientSession::write(Buffer& out, size_t most) {
  while (out.size() < most) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &data);
    if (size <= 0) return;
    out.append(text_of(data, static_cast<size_t>(size)));
  }
}

void ClientSession::report() {
  while (std::exchange(has_failures_, false)) {
    for (Stream& each : streams_) {
      if (each.failure_.reason == Reason::none) continue;
      const Error error = each.failure_;
      has_failures_ = true;  // there may be more; and the list may be another one when this returns
      Stream& stream = each;
      stream.unlink();
      stream.ended_ = true;
      stream.on_failed(error);
      break;
    }
  }
}

bool ClientSession::request(Stream& stream, std::string_view head, std::string_view scheme, Upload upload) {
  sent_fields_.resize(lines_of(head));
  const Result<http::RequestHead> parsed = http::parse_request(head, sent_fields_);
  SL_ASSERT(parsed.has_value());  // we wrote it
  pairs_.clear();
  const bool tunnel = upload == Upload::tunnel;
  pairs_.push_back(make_field(":method", tunnel ? "CONNECT" : parsed->method_text));
  if (tunnel) pairs_.push_back(make_field(":protocol", "websocket"));
  pairs_.push_back(make_field(":scheme", scheme));
  const std::string_view host = parsed->headers.value(http::HeaderId::host);
  if (!host.empty()) pairs_.push_back(make_field(":authority", host));
  pairs_.push_back(make_field(":path", parsed->target));
  for (const http::HeaderField& field : parsed->headers) {
    // HTTP/2 has no use for a proof that the server speaks WebSocket (RFC 8441 §5).
    if (!tunnel || !iequals(field.name, "sec-websocket-key")) append_field(field, pairs_);
  }
  nghttp2_data_provider body{};
  body.read_callback = [](nghttp2_session*, int32_t id, uint8_t* into, size_t size, uint32_t* flags,
                          nghttp2_data_source*, void* self) {
    return static_cast<ClientSession*>(self)->read_body(id, {reinterpret_cast<char*>(into), size}, flags);
  };
  const int32_t id = nghttp2_submit_request(session_.get(), nullptr, pairs_.data(), pairs_.size(),
                                            upload == Upload::none ? nullptr : &body, &stream);
  if (id < 0) return false;
  stream.id_ = id;
  stream.ended_ = false;
  stream.may_send_ = tunnel;
  stream.failure_ = {Reason::none, ""};
  streams_.push_back(stream);
  return true;
}

void ClientSession::resume_body(const Stream& stream) { nghttp2_session_resume_data(session_.get(), stream.id_); }

void ClientSession::consumed(const Stream& stream, size_t bytes) {
  nghttp2_session_consume_stream(session_.get(), stream.id_, bytes);
}

void ClientSession::forget(Stream& stream) {
  if (stream.id_ == 0) return;
  if (stream.linked()) stream.unlink();
  nghttp2_session_set_stream_user_data(session_.get(), stream.id_, nullptr);
  const bool sent = nghttp2_session_get_stream_local_close(session_.get(), stream.id_) != 0;  // -1: unknown already
  if (!stream.ended_ || !sent) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_CANCEL);
  }
  stream.id_ = 0;
}

void ClientSession::ping() { nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr); }

void ClientSession::fail_all(Error error) {
  refuse_unwritten();
  for (Stream& each : streams_) fail(each, error);
}

void ClientSession::close() { nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR); }

bool ClientSession::is_open() const {
  return greeted_ && !going_away_ && nghttp2_session_check_request_allowed(session_.get()) != 0 &&
         nghttp2_session_get_next_stream_id(session_.get()) < (1u << 31) - 2;
}

bool ClientSession::takes_tunnels() const {
  return nghttp2_session_get_remote_settings(session_.get(), NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

uint32_t ClientSession::max_streams() const {
  return nghttp2_session_get_remote_settings(session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

ClientSession::Stream* ClientSession::find(int32_t id) {
  return id == 0 ? nullptr : static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

// It hears of it by report().
void ClientSession::fail(Stream& stream, Error error) {
  if ((stream.ended_ && !stream.may_send_) || stream.failure_.reason != Reason::none) return;
  stream.failure_ = error;
  has_failures_ = true;
}

// nghttp2 knows a stream from the moment in which it writes the request's head.
bool ClientSession::was_written(const Stream& stream) const {
  return nghttp2_session_get_stream_local_close(session_.get(), stream.id_) != -1;
}

// They may wait for the socket for long, and are better off elsewhere.
void ClientSession::refuse_unwritten() {
  for (Stream& each : streams_) {
    if (!was_written(each)) fail(each, {Reason::upstream_refused, "it was not sent"});
  }
}

int ClientSession::on_begin_headers() {
  block_.clear();
  status_ = 0;
  return 0;
}

// What is too much is read on, since the next heads need its part of the table, but not kept.
int ClientSession::on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  Stream* stream = find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  if (name == ":status") {
    // nghttp2 has seen that it is three digits, and takes all but 1xx for final.
    status_ = static_cast<uint16_t>(parse_u64(value).value_or(0));
    if (status_ >= 100 && status_ <= 599) return 0;
    fail(*stream, {Reason::upstream_bad_response, "it has no status from 100 to 599"});
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (block_.fields() == kMaxFields || block_.bytes() + name.size() + value.size() + 4 > kMaxHeadBytes) {
    fail(*stream, {Reason::upstream_head_too_large, ""});
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  block_.add(name, value);
  return 0;
}

int ClientSession::on_frame(const nghttp2_frame& frame) {
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  Stream* stream = find(frame.hd.stream_id);
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      if (stream != nullptr) on_head_complete(*stream, ends);
      block_.clear();
      break;
    case NGHTTP2_DATA:
      if (stream != nullptr && ends) end(*stream, {});
      break;
    case NGHTTP2_SETTINGS:
      greeted_ = greeted_ || (frame.hd.flags & NGHTTP2_FLAG_ACK) == 0;
      window_changed_ = true;  // its initial size may be another one
      break;
    case NGHTTP2_WINDOW_UPDATE: window_changed_ = true; break;
    case NGHTTP2_GOAWAY:
      going_away_ = true;
      refuse_unwritten();
      break;
    default: break;
  }
  return 0;
}

void ClientSession::on_head_complete(Stream& stream, bool ends) {
  if (stream.ended_ || stream.failure_.reason != Reason::none) return;
  const http::HeaderMap fields = block_.map(std::span(fields_).first(block_.fields()));
  if (status_ == 0) return end(stream, fields);
  http::ResponseHead head;
  head.status = status_;
  head.phrase = http::phrase_of(status_);
  head.headers = fields;
  stream.on_head(head, block_.bytes());
  if (ends && stream.linked()) end(stream, {});
}

void ClientSession::end(Stream& stream, const http::HeaderMap& trailers) {
  if (stream.ended_ || stream.failure_.reason != Reason::none) return;
  stream.ended_ = true;
  stream.on_end(trailers);
}

// The connection's window is given back at once, whoever is slow: no stream holds up another.
int ClientSession::on_data(int32_t id, std::string_view data) {
  nghttp2_session_consume_connection(session_.get(), data.size());
  Stream* stream = find(id);
  if (stream != nullptr && !stream->ended_ && stream->failure_.reason == Reason::none) stream->on_body(data);
  return 0;
}

int ClientSession::on_stream_close(int32_t id, uint32_t code) {
  Stream* stream = find(id);
  if (stream != nullptr) fail(*stream, meaning_of(code));
  return 0;
}

// A request that cannot be sent.
int ClientSession::on_frame_not_sent(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return 0;
  for (Stream& each : streams_) {
    if (each.id_ == frame.hd.stream_id) fail(each, {Reason::upstream_refused, "it was not sent"});
  }
  return 0;
}

int ClientSession::on_invalid_frame(const nghttp2_frame& frame, int error) {
  failure_ = nghttp2_strerror(error);
  if (Stream* stream = find(frame.hd.stream_id); stream != nullptr) {
    fail(*stream, {Reason::upstream_http2_error, nghttp2_strerror(error)});
  }
  return 0;
}

ssize_t ClientSession::read_body(int32_t id, std::span<char> into, uint32_t* flags) {
  Stream* stream = find(id);
  if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;  // its RST_STREAM is on the way
  const Stream::Piece piece = stream->read_body(into);
  if (!piece.last && piece.bytes == 0) return NGHTTP2_ERR_DEFERRED;
  if (!piece.last) return static_cast<ssize_t>(piece.bytes);
  stream->may_send_ = false;
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (!piece.trailers.empty()) {
    sent_fields_.resize(lines_of(piece.trailers));
    const Result<http::HeaderMap> parsed = http::parse_fields(piece.trailers, sent_fields_);
    SL_ASSERT(parsed.has_value());  // we wrote them
    pairs_.clear();
    append_fields(*parsed, pairs_);
    if (!pairs_.empty() && nghttp2_submit_trailer(session_.get(), id, pairs_.data(), pairs_.size()) == 0) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
  }
  return static_cast<ssize_t>(piece.bytes);
}

}  // namespace sluice::http2
