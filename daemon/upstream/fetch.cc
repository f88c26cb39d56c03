#include "upstream/fetch.h"

#include "base/format.h"

namespace sluice::upstream {

Fetch::Fetch(event::Loop& loop, Done done, void* owner)
    : Waiter(loop),
      loop_(loop),
      done_(done),
      owner_(owner),
      deadline_(
          loop.timers(), [](void* self) { static_cast<Fetch*>(self)->finish(static_cast<Fetch*>(self)->overdue_); },
          this) {}

Fetch::~Fetch() {
  if (lease_) lease_->spoil();
}

void Fetch::start(Cluster& cluster, const Request& request) {
  if (cluster.empty()) return refuse(Reason::upstream_unresolved);
  deadline_.set(loop_.now() + request.timeout);
  endpoint_ = EndpointRef(cluster.choose(nullptr));
  method_ = request.method;
  max_body_ = request.max_body;
  head_ = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n{}", http::name(method_), request.target,
                      request.host.empty() ? std::string_view(endpoint_->name()) : request.host, request.field_lines);
  if (!request.body.empty() || !http::is_safe(method_)) {
    framing_ = {http::BodyFraming::Kind::length, request.body.size()};
    head_ += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  head_ += "\r\n";
  sent_body_ = request.body;
  acquire(false);
}

void Fetch::acquire(bool fresh) {
  const Result<Carrier*> acquired = endpoint_->pool().acquire(*this, fresh);
  if (!acquired) return refuse(acquired.error().reason);
  if (*acquired != nullptr) on_lease(**acquired);
}

void Fetch::on_lease(Carrier& carrier) {
  lease_ = Lease(carrier);
  sent_ = 0;
  lease_->begin(head_, framing_);
  send();
}

// What is not taken now waits for on_upstream_writable(); a dead connection is heard of by reading it.
void Fetch::send() {
  const iovec rest{sent_body_.data() + sent_, sent_body_.size() - sent_};
  const event::IoResult result = lease_->send({&rest, 1}, true, {});
  sent_ += result.bytes;
  all_sent_ = result.status == event::IoStatus::ok;
}

void Fetch::on_response_head(const http::ResponseHead& head, const http::ResponseFraming&) {
  if (head.status == 101) return finish(Reason::upstream_bad_response);  // nothing asked for it
  status_ = head.status;
  size_t bytes = 0;
  for (const http::HeaderField& field : head.headers) bytes += field.name.size() + field.value.size();
  head_text_.reserve(bytes);  // the views below stay where they are
  const auto copy = [&](std::string_view text) {
    head_text_ += text;
    return std::string_view(head_text_).substr(head_text_.size() - text.size());
  };
  for (const http::HeaderField& field : head.headers) {
    const std::string_view name = copy(field.name);
    headers_.push_back({name, copy(field.value), field.id});
  }
}

void Fetch::on_response_body(std::string_view data) {
  if (body_.size() + data.size() > max_body_) return finish(Reason::upstream_body_too_large);
  body_ += data;
}

void Fetch::on_response_end(const http::HeaderMap&) {
  if (!all_sent_) lease_->spoil();
  lease_.give_back(Reason::keepalive_done);
  finish(Reason::none);
}

void Fetch::on_upstream_error(Error error) {
  const bool stale = lease_->reused() && !lease_->got_bytes() && !replaced_ && http::is_safe(method_);
  lease_.give_back(error.reason);
  if (!stale) return finish(error.reason);
  replaced_ = true;
  acquire(true);
}

void Fetch::refuse(Reason reason) {
  overdue_ = reason;
  deadline_.set(loop_.now());
}

// `this` may be gone when it returns.
void Fetch::finish(Reason reason) {
  deadline_.cancel();
  if (endpoint_) endpoint_->pool().cancel(*this);
  if (lease_) lease_->spoil();
  lease_.give_back(reason);
  Answer answer{.reason = reason};
  if (reason == Reason::none) answer = {status_, headers_, body_, reason};
  done_(owner_, answer);
}

}  // namespace sluice::upstream
