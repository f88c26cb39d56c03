#include "admin/connection.h"

#include <algorithm>
#include <array>

#include "admin/server.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/uri.h"

namespace sluice::admin {

namespace {
constexpr http::HeadLimits kLimits{Connection::kHeadBytes, Connection::kHeadBytes, Connection::kFields};
}

Connection::Connection(Server& server, event::Loop& loop)
    : server_(server),
      loop_(loop),
      deadline_(
          loop.timers(), [](void* self) { static_cast<Connection*>(self)->on_deadline(); }, this),
      input_(loop.blocks()) {}

bool Connection::open(int fd) {
  if (!stream_.open(loop_, fd, *this)) return false;
  wait(State::reading, kHeadTimeout);
  return true;
}

void Connection::close() {
  deadline_.cancel();
  stream_.close();
}

void Connection::on_readable() {
  if (state_ == State::lingering) return discard_input();
  if (state_ != State::reading) return;
  const bool was_idle = input_.empty();
  // One byte past the limit is enough for the scanner to refuse.
  const auto got = stream_.read(loop_.read_buffer().first(kHeadBytes + 1 - input_.size()));
  if (got.status == event::IoStatus::again) return;
  if (got.status != event::IoStatus::ok) return server_.remove(*this);
  input_.append({loop_.read_buffer().data(), got.bytes});
  if (was_idle) wait(State::reading, kHeadTimeout);
  serve();
}

// A loop and not a recursion: a client may send many small requests in one piece.
void Connection::serve() {
  while (state_ == State::reading && stream_.is_open() && !input_.empty()) {
    if (!serve_next()) return;
  }
}

// False if more bytes are needed.
bool Connection::serve_next() {
  const auto length = scanner_.scan(input_.view(), kLimits);
  if (!length) {
    refuse(length.error());
    return true;
  }
  if (*length == 0) return false;
  serve_head(input_.view().substr(0, *length));
  if (!input_.empty()) input_.consume(*length);
  scanner_.reset();
  return true;
}

void Connection::serve_head(std::string_view head) {
  std::array<http::HeaderField, kFields> fields;
  const auto parsed = http::parse_request(head, fields);
  if (!parsed) return refuse(parsed.error());
  const auto framing = http::request_framing(*parsed);
  if (!framing) return refuse(framing.error());
  const auto target = http::parse_target(parsed->target, parsed->method);
  if (!target) return refuse(target.error());
  if (!framing->body.empty()) {
    return send(problem(413, "body_too_large", "No request here has a body."), false, true);
  }
  const Request request{parsed->method, target->path, target->query, framing->host, parsed->headers};
  const bool keep_alive = framing->keep_alive && parsed->version == http::Version::http11;
  Response response = server_.answer(request);
  if (!response.after_reload) return send(std::move(response), keep_alive, request.method != http::Method::HEAD);
  keep_alive_ = keep_alive;
  as_text_ = wants_text(request);
  stream_.want_read(false);
  wait(State::waiting, kReloadTimeout);
}

void Connection::on_reloaded(const ReloadReport& report) {
  if (state_ != State::waiting) return;
  stream_.want_read(true);
  send(reload_response(report, as_text_), keep_alive_, true);
  serve();
}

void Connection::refuse(const Error& error) {
  const ReasonRow& reason = row(error.reason);
  send(problem(reason.status, reason.name, reason.text), false, true);
}

void Connection::send(Response response, bool keep_alive, bool with_body) {
  head_ = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head_ += http::phrase_of(response.status);
  const auto add_field = [&](std::string_view name, std::string_view value) {
    head_.append("\r\n").append(name).append(": ").append(value);
  };
  add_field("Content-Type", response.content_type);
  add_field("Content-Length", std::to_string(response.body.size()));
  add_field("Cache-Control", "no-store");
  add_field("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.fields) add_field(name, value);
  if (!keep_alive) add_field("Connection", "close");
  head_ += "\r\n\r\n";
  body_ = with_body ? std::move(response.body) : std::string();
  sent_ = 0;
  keep_alive_ = keep_alive;
  wait(State::writing, kWriteTimeout);
  flush();
}

void Connection::flush() {
  while (sent_ < head_.size() + body_.size()) {
    const size_t of_head = std::min(sent_, head_.size());
    const size_t of_body = sent_ - of_head;
    const iovec pieces[] = {{head_.data() + of_head, head_.size() - of_head},
                            {body_.data() + of_body, body_.size() - of_body}};
    const auto done = stream_.write(pieces);
    if (done.status == event::IoStatus::again) {
      // Unread bytes must not wake us in the meantime.
      stream_.want_read(false);
      return stream_.want_write(true);
    }
    if (done.status != event::IoStatus::ok) return server_.remove(*this);
    sent_ += done.bytes;
  }
  finish_response();
}

void Connection::finish_response() {
  head_.clear();
  body_ = std::string();  // a page of megabytes is not kept
  stream_.want_write(false);
  stream_.want_read(true);
  if (keep_alive_) return wait(State::reading, kIdleTimeout);
  // Closing with bytes unread would send a reset, and the client might lose the answer.
  input_.clear();
  stream_.shutdown_write();
  wait(State::lingering, kLingerTimeout);
}

void Connection::discard_input() {
  const auto got = stream_.read(loop_.read_buffer());
  if (got.status == event::IoStatus::eof || got.status == event::IoStatus::error) server_.remove(*this);
}

void Connection::on_writable() {
  flush();
  serve();
}

void Connection::on_error() { server_.remove(*this); }

void Connection::on_deadline() {
  if (state_ == State::reading && !input_.empty()) return refuse({Reason::request_header_timeout});
  if (state_ == State::waiting) {
    return send(problem(504, "reload_timeout", "The reload has not ended yet; see /config/errors."), false, true);
  }
  server_.remove(*this);
}

void Connection::wait(State state, Millis at_most) {
  state_ = state;
  deadline_.set(loop_.now() + at_most);
}

}  // namespace sluice::admin
