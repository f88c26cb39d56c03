#include "http2/server_session.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace sluice::http2 {

namespace {

constexpr size_t kFrameHeadBytes = 9;
constexpr uint32_t kMaxContinuations = 8;
constexpr size_t kMaxSentHeadBytes = 256 * 1024;  // more than the gateway composes
constexpr size_t kMaxQueuedFrames = 1000;         // and four for each stream

std::string_view text_of(const uint8_t* data, size_t bytes) { return {reinterpret_cast<const char*>(data), bytes}; }

ServerStream* stream_of(nghttp2_session* session, int32_t id) {
  return static_cast<ServerStream*>(nghttp2_session_get_stream_user_data(session, id));
}

// nghttp2 fails at nothing but want of memory and at what the caller did wrong.
void must(int result) { SL_ASSERT(result == 0); }

// Codes of resets that are no answer to a broken rule.
bool is_ours(uint32_t code) {
  return code == static_cast<uint32_t>(ErrorCode::no_error) || code == static_cast<uint32_t>(ErrorCode::cancel) ||
         code == static_cast<uint32_t>(ErrorCode::internal_error);
}

std::array<char, 3> digits_of(uint16_t status) {
  return {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10),
          static_cast<char>('0' + status % 10)};
}

// HEADERS or CONTINUATION without END_HEADERS (RFC 9113 §4.3).
bool is_unfinished_head(const uint8_t* frame) {
  const uint8_t type = frame[3];
  const uint8_t flags = frame[4];
  return (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) && (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
}

}  // namespace

struct ServerSession::Callbacks {
  static ServerSession& self(void* user) { return *static_cast<ServerSession*>(user); }

  // What nghttp2 lets pass and RFC 9113 does not.
  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    if (head->type == NGHTTP2_HEADERS) self(user).check_order(head->stream_id);
    if (head->type == NGHTTP2_PRIORITY && head->stream_id == 0) self(user).give_up(NGHTTP2_PROTOCOL_ERROR);  // §6.3
    return 0;
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS) self(user).begin_block();
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_bytes,
                       const uint8_t* value, size_t value_bytes, uint8_t, void* user) {
    self(user).request_.add(text_of(name, name_bytes), text_of(value, value_bytes));
    if (!self(user).request_.is_excessive()) return 0;
    self(user).count_stream_error();
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // so that no more is looked at
  }

  // Without this nghttp2 would drop the field and go on: RFC 9113 §8.2.1 calls the whole request malformed.
  static int on_invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                               uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t bytes, void*) {
    // The connection's window is given back at once, so that one stream that is not read holds back no other.
    must(nghttp2_session_consume_connection(session, bytes));
    if (ServerStream* stream = stream_of(session, id)) stream->on_data(text_of(data, bytes));
    return 0;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    self(user).count_frame(*frame);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const int32_t id = frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_HEADERS) {
      self(user).end_block(id, frame->headers.cat == NGHTTP2_HCAT_REQUEST, ends);
    } else if (frame->hd.type == NGHTTP2_DATA && ends) {
      if (ServerStream* stream = stream_of(session, id)) stream->on_end({}, 0);
    }
    return 0;
  }

  static int on_stream_close(nghttp2_session* session, int32_t id, uint32_t, void* user) {
    if (nghttp2_session_get_stream_remote_close(session, id) == 0) self(user).note_cut(id);
    if (ServerStream* stream = stream_of(session, id)) stream->on_stream_closed();
    return 0;
  }

  // Of a stream that nghttp2 refuses before it is one nothing else is heard.
  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    self(user).note_cut(frame->hd.stream_id);
    return 0;
  }

  // What nghttp2 finds wrong itself shows in what it answers, and nowhere else for certain.
  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    switch (frame->hd.type) {
      case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR && self(user).why_ == Reason::keepalive_done) {
          self(user).why_ = Reason::http2_error;
        }
        break;
      case NGHTTP2_RST_STREAM:
        if (!is_ours(frame->rst_stream.error_code)) self(user).count_stream_error();
        // Of a setting that did it, the whole connection dies (RFC 9113 §6.9.2); of anything else it may.
        if (frame->rst_stream.error_code == NGHTTP2_FLOW_CONTROL_ERROR) self(user).give_up(NGHTTP2_FLOW_CONTROL_ERROR);
        break;
      case NGHTTP2_DATA:
      case NGHTTP2_HEADERS:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
        if (ServerStream* stream = stream_of(session, frame->hd.stream_id)) stream->on_end_sent();
        break;
      default: break;
    }
    return 0;
  }

  // A head that is larger than nghttp2 sends: without this the stream would stand still.
  static int on_frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int error, void* user) {
    const int32_t id = frame->hd.stream_id;
    const bool too_large = error == NGHTTP2_ERR_FRAME_SIZE_ERROR || error == NGHTTP2_ERR_HEADER_COMP;
    if (too_large && stream_of(session, id) != nullptr) self(user).reset(id, ErrorCode::internal_error);
    return 0;
  }

  static ssize_t on_offer(nghttp2_session* session, int32_t id, uint8_t*, size_t most, uint32_t* flags,
                          nghttp2_data_source*, void*) {
    ServerStream* stream = stream_of(session, id);
    if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;
    const ServerStream::Offer offer = stream->offer();
    const size_t bytes = std::min(offer.bytes, most);
    if (offer.last && bytes == offer.bytes) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (offer.trailers != nullptr) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> fields;
        append_fields(*offer.trailers, fields);
        must(nghttp2_submit_trailer(session, id, fields.data(), fields.size()));
      }
    } else if (bytes == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return static_cast<ssize_t>(bytes);
  }

  static int on_take(nghttp2_session* session, nghttp2_frame* frame, const uint8_t* head, size_t bytes,
                     nghttp2_data_source*, void* user) {
    Buffer& out = *self(user).out_;
    SL_ASSERT(frame->data.padlen == 0);
    out.append(text_of(head, kFrameHeadBytes));
    stream_of(session, frame->hd.stream_id)->take(bytes, out);
    return 0;
  }

  static nghttp2_session_callbacks* table() {
    static const CallbacksPtr made = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      must(nghttp2_session_callbacks_new(&callbacks));
      nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
      nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
      nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
      nghttp2_session_callbacks_set_send_data_callback(callbacks, on_take);
      return CallbacksPtr(callbacks);
    }();
    return made.get();
  }

  static nghttp2_option* options() {
    static const OptionPtr made = [] {
      nghttp2_option* option = nullptr;
      must(nghttp2_option_new(&option));
      nghttp2_option_set_no_auto_window_update(option, 1);
      nghttp2_option_set_no_closed_streams(option, 1);
      nghttp2_option_set_max_continuations(option, kMaxContinuations);
      nghttp2_option_set_max_send_header_block_length(option, kMaxSentHeadBytes);
      return OptionPtr(option);
    }();
    return made.get();
  }
};

ServerSession::ServerSession(Handler& handler, BlockPool& blocks, uint32_t max_streams)
    : handler_(handler), block_(blocks), limits_(handler.head_limits()), max_streams_(max_streams) {
  nghttp2_session* session = nullptr;
  nghttp2_mem allocator = memory_.allocator();
  must(nghttp2_session_server_new3(&session, Callbacks::table(), this, Callbacks::options(), &allocator));
  memory_.made();
  session_.reset(session);
  const std::array<nghttp2_settings_entry, 5> settings{{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits_.head_bytes},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
      // Its tree of priorities is withdrawn (RFC 9113 §5.3.1): what clients say of it is read and not heeded.
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  }};
  must(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()));
  must(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow));
}

void ServerSession::receive(std::string_view bytes, MonoTime now, bool early) {
  now_ = now;
  early_ = early;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const ssize_t taken = nghttp2_session_mem_recv(session_.get(), data, bytes.size());
  if (taken < 0 && why_ == Reason::keepalive_done) {
    why_ = taken == NGHTTP2_ERR_FLOODED ? Reason::http2_flood : Reason::http2_error;
  }
  // Who makes us answer and does not read: nghttp2 itself bounds acknowledgements only.
  if (nghttp2_session_get_outbound_queue_size(session_.get()) > kMaxQueuedFrames + 4 * max_streams_) calm_down();
}

void ServerSession::write(Buffer& out, size_t limit) {
  out_ = &out;
  bool continues = false;  // a head of several frames: the next one stands in the SessionMemory's buffer already
  while (out.size() < limit || continues) {
    const uint8_t* data = nullptr;
    const ssize_t bytes = nghttp2_session_mem_send(session_.get(), &data);
    SL_ASSERT(bytes >= 0);
    if (bytes == 0) break;
    out.append(text_of(data, static_cast<size_t>(bytes)));
    continues = is_unfinished_head(data);
  }
  out_ = nullptr;
}

// --- what the client sends ---

void ServerSession::begin_block() {
  limits_ = handler_.head_limits();
  block_.clear();
  early_block_ = early_;
  request_.begin(limits_, block_);
}

void ServerSession::end_block(int32_t id, bool is_request, bool ends) {
  if (is_request && id > last_) {
    reset(id, ErrorCode::refused_stream);  // it came before GOAWAY could go out
  } else if (is_request) {
    ServerStream& stream = handler_.open_stream(id);
    must(nghttp2_session_set_stream_user_data(session_.get(), id, &stream));
    const Result<http::RequestHead> head = request_.finish(ends, handler_.field_scratch());
    stream.on_request(head, {block_.text(), request_.method(), request_.is_connect(), ends, early_block_});
  } else if (!request_.is_accepted()) {
    reset(id, ErrorCode::protocol_error);
  } else if (ServerStream* stream = stream_of(session_.get(), id)) {
    const size_t fields = block_.fields();
    if (fields > 0) block_.add_text("\r\n");
    stream->on_end(block_.text(), fields);
  }
  block_.clear();
}

bool ServerSession::Allowance::spend(MonoTime now) {
  const auto earned = static_cast<uint64_t>((now - filled_).count()) * per_second_ / 1'000'000;
  if (earned > 0) {
    left_ = static_cast<uint32_t>(std::min<uint64_t>(burst_, left_ + earned));
    filled_ = now;
  }
  return left_ > 0 && left_-- > 0;
}

// What costs us something and the client nothing (CVE-2019-9512 to 9518, CVE-2023-44487).
void ServerSession::count_frame(const nghttp2_frame& frame) {
  const bool is_ack = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM:
      if (!resets_.spend(now_)) calm_down();
      break;
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
      if (!is_ack && !idle_frames_.spend(now_)) calm_down();
      break;
    case NGHTTP2_DATA:
      // Nothing but padding, if even that.
      if (frame.hd.length == frame.data.padlen && (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 &&
          !idle_frames_.spend(now_)) {
        calm_down();
      }
      break;
    default: break;
  }
}

void ServerSession::count_stream_error() {
  handler_.on_stream_error();
  if (!resets_.spend(now_)) calm_down();
}

void ServerSession::calm_down() {
  if (why_ == Reason::http2_flood) return;
  why_ = Reason::http2_flood;
  give_up(NGHTTP2_ENHANCE_YOUR_CALM);
}

void ServerSession::give_up(uint32_t code) { must(nghttp2_session_terminate_session(session_.get(), code)); }

// HEADERS open streams in rising order (RFC 9113 §5.1.1), or end one that is open. Behind our RST_STREAM trailers may still come.
void ServerSession::check_order(int32_t id) {
  if (id > last_) note_cut(id);  // ignored, with all that follows on it
  if (id > highest_) {
    if (id > highest_ + 2) skipped_ = {highest_ + 2, id - 2};
    highest_ = id;
  } else if (id > last_cut_ && id % 2 == 1 && nghttp2_session_find_stream(session_.get(), id) == nullptr) {
    give_up(id >= skipped_.first && id <= skipped_.last ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_STREAM_CLOSED);
  }
}

// --- what the client gets ---

void ServerSession::inform(int32_t id, uint16_t status, const http::HeaderMap& headers) {
  const std::array<char, 3> digits = digits_of(status);
  std::vector<nghttp2_nv> fields{make_field(":status", {digits.data(), digits.size()})};
  append_fields(headers, fields);
  if (stream_of(session_.get(), id) == nullptr) return;
  nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, id, nullptr, fields.data(), fields.size(), nullptr);
}

void ServerSession::respond(int32_t id, uint16_t status, const http::HeaderMap& headers, bool ends) {
  const std::array<char, 3> digits = digits_of(status);
  std::vector<nghttp2_nv> fields;
  fields.reserve(headers.size() + 1);
  fields.push_back(make_field(":status", {digits.data(), digits.size()}));
  append_fields(headers, fields);
  if (stream_of(session_.get(), id) == nullptr) return;
  const nghttp2_data_provider body{.source = {}, .read_callback = Callbacks::on_offer};
  must(nghttp2_submit_response(session_.get(), id, fields.data(), fields.size(), ends ? nullptr : &body));
}

void ServerSession::resume(int32_t id) { nghttp2_session_resume_data(session_.get(), id); }

void ServerSession::reset(int32_t id, ErrorCode code) {
  must(nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, static_cast<uint32_t>(code)));
}

void ServerSession::consume(int32_t id, size_t bytes) {
  if (bytes > 0) nghttp2_session_consume_stream(session_.get(), id, bytes);
}

void ServerSession::announce_end() { must(nghttp2_submit_shutdown_notice(session_.get())); }

void ServerSession::end() {
  last_ = std::min(last_, nghttp2_session_get_last_proc_stream_id(session_.get()));
  must(nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, last_, NGHTTP2_NO_ERROR, nullptr, 0));
}

}  // namespace sluice::http2
