#include "cli/origin_connection.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/strings.h"
#include "cli/origin.h"
#include "http/parser.h"
#include "http/serializer.h"

namespace sluice::cli {

namespace {
// More than this is neither piled up for sending nor read ahead. The longest echo (a head of 32 KiB, each
// byte escaped to six) still fits into a Buffer behind it.
constexpr size_t kMuch = 32 * 1024;
constexpr size_t kChunkBytes = 16 * 1024;
constexpr Millis kLongestDelay{60'000};
constexpr Millis kLingering{2'000};
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kText = "text/plain";
constexpr std::string_view kBinary = "application/octet-stream";

struct OrderRow {
  std::string_view prefix;
  OriginOrder::Kind kind;
  uint64_t least;
  uint64_t most;
};
constexpr OrderRow kOrders[] = {
    {"/bytes/", OriginOrder::Kind::bytes, 0, uint64_t{1} << 40},
    {"/chunked/", OriginOrder::Kind::chunked, 0, uint64_t{1} << 40},
    {"/status/", OriginOrder::Kind::status, 200, 599},
    {"/delay/", OriginOrder::Kind::delay, 0, kLongestDelay.count()},
};

bool has_no_body(uint16_t status) { return status == 204 || status == 304; }

// Everything but the length of the body, which is known last.
void write_echo(const http::RequestHead& head, std::string& out) {
  out = "{\"method\": ";
  out += json_quoted(head.method_text);
  out += ", \"target\": ";
  out += json_quoted(head.target);
  out += head.version == http::Version::http10 ? ", \"version\": \"HTTP/1.0\"" : ", \"version\": \"HTTP/1.1\"";
  out += ", \"headers\": [";
  std::string_view comma;
  for (const http::HeaderField& field : head.headers) {
    out += comma;
    out += '"';
    append_json_escaped(out, field.name);
    out += ": ";
    append_json_escaped(out, field.value);
    out += '"';
    comma = ", ";
  }
  out += "], \"body_bytes\": ";
}
}  // namespace

OriginOrder read_order(std::string_view target, uint64_t default_bytes) {
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/bytes") return {OriginOrder::Kind::bytes, default_bytes};
  for (const OrderRow& row : kOrders) {
    if (!path.starts_with(row.prefix)) continue;
    const auto number = parse_u64(path.substr(row.prefix.size()));
    if (number && *number >= row.least && *number <= row.most) return {row.kind, *number};
  }
  return {};
}

OriginConnection::OriginConnection(Origin& origin)
    : origin_(origin),
      timer_(
          origin.loop_.timers(), [](void* self) { static_cast<OriginConnection*>(self)->on_timer(); }, this),
      in_(origin.loop_.blocks()),
      out_(origin.loop_.blocks()) {}

bool OriginConnection::open(int fd) { return stream_.open(origin_.loop_, fd, *this); }

void OriginConnection::on_readable() {
  const std::span<char> memory = origin_.loop_.read_buffer();
  const event::IoResult got = stream_.read(memory.first(std::min(memory.size(), in_.room())));
  if (got.status == event::IoStatus::ok) return on_bytes({memory.data(), got.bytes});
  if (got.status == event::IoStatus::eof) return on_eof();
  if (got.status == event::IoStatus::error) end();
}

void OriginConnection::on_bytes(std::string_view bytes) {
  if (state_ == State::lingering) return;
  if (!in_.empty()) {
    in_.append(bytes);
    return work_off_input();
  }
  const size_t used = take(bytes);
  if (has_ended()) return;
  in_.append(bytes.substr(used));
  if (in_.size() > kMuch) stream_.want_read(false);
}

void OriginConnection::work_off_input() {
  in_.consume(take(in_.view()));
  if (has_ended()) return;
  stream_.want_read(!eof_ && in_.size() <= kMuch);
  if (eof_ && takes_requests()) end();
}

// A client that sent its end still gets its answers.
void OriginConnection::on_eof() {
  if (takes_requests() || state_ == State::lingering) return end();
  eof_ = true;
  stream_.want_read(false);
}

size_t OriginConnection::take(std::string_view input) {
  size_t used = 0;
  while (used < input.size() && !has_ended() && takes_requests()) {
    const std::string_view rest = input.substr(used);
    const size_t step = state_ == State::head ? take_head(rest) : take_body(rest);
    if (step == 0) break;
    used += step;
  }
  // Answers to pipelined requests leave together.
  if (!has_ended() && !out_.empty() && state_ != State::sending) flush();
  return used;
}

size_t OriginConnection::take_head(std::string_view input) {
  if (input == "\r") return 0;
  const size_t skipped = http::skip_leading_crlf(input);
  const std::string_view rest = input.substr(skipped);
  const Result<size_t> length = scanner_.scan(rest, {});
  if (!length) return refuse(length.error()), input.size();
  if (*length == 0) return skipped;
  const auto head = http::parse_request(rest.substr(0, *length), origin_.fields_);
  if (!head) return refuse(head.error()), input.size();
  const auto framing = http::request_framing(*head);
  if (!framing) return refuse(framing.error()), input.size();
  begin_request(*head, *framing, *length == rest.size());
  return skipped + *length;
}

void OriginConnection::begin_request(const http::RequestHead& head, const http::RequestFraming& framing,
                                     bool last_input) {
  scanner_.reset();
  framing_ = framing;
  is_head_ = head.method == http::Method::HEAD;
  http10_ = head.version == http::Version::http10;
  body_bytes_ = 0;
  order_ = read_order(head.target, origin_.body_bytes_);
  if (order_.kind == OriginOrder::Kind::echo || order_.kind == OriginOrder::Kind::delay) write_echo(head, echo_);
  if (framing.body.empty()) return answer(last_input);
  state_ = State::body;
  body_left_ = framing.body.length;
  if (framing.body.kind == http::BodyFraming::Kind::chunked) decoder_ = http::ChunkedDecoder();
  if (framing.expects_continue && last_input) out_.append("HTTP/1.1 100 Continue\r\n\r\n");
}

size_t OriginConnection::take_body(std::string_view input) {
  size_t used = 0;
  bool done = false;
  if (framing_.body.kind == http::BodyFraming::Kind::chunked) {
    const auto step = decoder_.next(input);
    if (!step) return refuse(step.error()), input.size();
    used = step->consumed;
    body_bytes_ += step->data.size();
    done = step->done;
  } else {
    used = std::min<uint64_t>(body_left_, input.size());
    body_bytes_ += used;
    body_left_ -= used;
    done = body_left_ == 0;
  }
  if (done) answer(used == input.size());
  return used;
}

void OriginConnection::answer(bool last_input) {
  state_ = State::head;
  switch (order_.kind) {
    case OriginOrder::Kind::bytes: return answer_bytes(last_input);
    case OriginOrder::Kind::chunked: return answer_chunked();
    case OriginOrder::Kind::status: {
      const auto status = static_cast<uint16_t>(order_.number);
      return answer_text(status, kText, std::string(http::phrase_of(status)) + '\n');
    }
    case OriginOrder::Kind::delay:
      order_.kind = OriginOrder::Kind::echo;
      state_ = State::delayed;
      return timer_.set(origin_.loop_.now() + Millis(order_.number));
    case OriginOrder::Kind::echo: return answer_text(200, kJson, echo_ + std::to_string(body_bytes_) + "}\n");
  }
}

void OriginConnection::answer_bytes(bool last_input) {
  const uint64_t bytes = order_.number;
  if (bytes <= Origin::kCachedBytes && framing_.keep_alive && !is_head_ && !http10_) {
    const std::string_view whole = origin_.small_answer(bytes);
    if (last_input && out_.empty()) return write_now(whole);
    out_.append(whole);
  } else {
    write_head(200, kBinary, {http::BodyFraming::Kind::length, bytes});
    if (!is_head_) pattern_left_ = bytes;
  }
  finish_answer();
}

void OriginConnection::answer_chunked() {
  if (http10_) {  // which knows no chunks: the end of the connection is the end of the body
    framing_.keep_alive = false;
    write_head(200, kBinary, {http::BodyFraming::Kind::until_close});
    if (!is_head_) pattern_left_ = order_.number;
  } else {
    write_head(200, kBinary, {http::BodyFraming::Kind::chunked});
    if (!is_head_) chunked_left_ = order_.number;
    if (!is_head_ && order_.number == 0) out_.append("0\r\n\r\n");
  }
  finish_answer();
}

void OriginConnection::answer_text(uint16_t status, std::string_view type, std::string_view text) {
  if (has_no_body(status)) {
    write_head(status, {}, {http::BodyFraming::Kind::none});
  } else {
    write_head(status, type, {http::BodyFraming::Kind::length, text.size()});
    if (!is_head_) out_.append(text);
  }
  finish_answer();
}

// The next request is taken only when a long answer, or the last one, has left.
void OriginConnection::finish_answer() {
  pattern_sent_ = 0;
  if (pattern_left_ > 0 || chunked_left_ > 0 || !framing_.keep_alive || out_.size() > kMuch) flush();
}

void OriginConnection::refuse(Error error) {
  const ReasonRow& row = sluice::row(error.reason);
  framing_.keep_alive = false;
  is_head_ = http10_ = false;
  const auto status = static_cast<uint16_t>(row.status != 0 ? row.status : 400);
  write_head(status, kText, {http::BodyFraming::Kind::length, row.text.size() + 1});
  out_.append(row.text);
  out_.append("\n");
  stream_.write(out_.view());
  out_.clear();
  stream_.shutdown_write();
  state_ = State::lingering;
  timer_.set(origin_.loop_.now() + kLingering);
}

void OriginConnection::write_head(uint16_t status, std::string_view type, const http::BodyFraming& body) {
  std::array<char, 512> memory;
  http::HeadWriter head(memory);
  head.status_line(status, http::phrase_of(status));
  head.field("Server", "sluice-origin");
  head.field("Date", origin_.date());
  if (!type.empty()) head.field("Content-Type", type);
  if (body.kind == http::BodyFraming::Kind::length) head.field("Content-Length", body.length);
  if (body.kind == http::BodyFraming::Kind::chunked) head.field("Transfer-Encoding", "chunked");
  if (!framing_.keep_alive) head.field("Connection", "close");
  if (framing_.keep_alive && http10_) head.field("Connection", "keep-alive");
  head.end();
  SL_ASSERT(!head.overflowed());
  out_.append(head.view());
}

// The shortest way out: one call, nothing copied. Only while out_ is empty.
void OriginConnection::write_now(std::string_view bytes) {
  const event::IoResult sent = stream_.write(bytes);
  if (sent.status == event::IoStatus::error) return end();
  if (sent.bytes == bytes.size()) return;
  out_.append(bytes.substr(sent.bytes));
  flush();
}

void OriginConnection::append_chunks() {
  while (chunked_left_ > 0 && out_.size() < kMuch) {
    const size_t bytes = std::min<uint64_t>(chunked_left_, kChunkBytes);
    char head[18];
    out_.append({head, http::write_chunk_head(bytes, head)});
    out_.append(origin_.pattern(0, bytes));
    chunked_left_ -= bytes;
    out_.append(chunked_left_ == 0 ? "\r\n0\r\n\r\n" : "\r\n");
  }
}

// Sends until nothing is left or the socket is full. The pattern goes out without a copy.
void OriginConnection::flush() {
  for (;;) {
    append_chunks();
    std::array<iovec, 8> pieces;
    size_t count = 0;
    const auto add = [&](std::string_view piece) { pieces[count++] = {const_cast<char*>(piece.data()), piece.size()}; };
    if (!out_.empty()) add(out_.view());
    for (uint64_t planned = 0; planned < pattern_left_ && count < pieces.size();) {
      const std::string_view piece = origin_.pattern(pattern_sent_ + planned, pattern_left_ - planned);
      add(piece);
      planned += piece.size();
    }
    if (count == 0) return on_flushed();
    const event::IoResult sent = stream_.write({pieces.data(), count});
    if (sent.status == event::IoStatus::error) return end();
    if (sent.status == event::IoStatus::again) break;
    const size_t of_out = std::min(sent.bytes, out_.size());
    out_.consume(of_out);
    pattern_sent_ += sent.bytes - of_out;
    pattern_left_ -= sent.bytes - of_out;
  }
  if (state_ == State::head) state_ = State::sending;
  stream_.want_write(true);
}

void OriginConnection::on_flushed() {
  stream_.want_write(false);
  if (state_ == State::body || state_ == State::delayed) return;  // an earlier answer, or 100 Continue
  if (!framing_.keep_alive) return end();
  state_ = State::head;
}

void OriginConnection::on_writable() {
  flush();
  if (!has_ended()) work_off_input();
}

void OriginConnection::on_timer() {
  if (state_ == State::lingering) return end();
  answer(true);
  if (!has_ended()) work_off_input();
}

void OriginConnection::end() {
  if (has_ended()) return;
  stream_.close();
  timer_.cancel();
  origin_.forget(*this);
}

}  // namespace sluice::cli
