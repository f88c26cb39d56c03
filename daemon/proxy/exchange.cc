#include "proxy/exchange.h"

#include <algorithm>

#include "http/parser.h"
#include "proxy/engine.h"
#include "proxy/grpc.h"

namespace sluice::proxy {

namespace {
constexpr size_t kReplayBytes = 64 * 1024;  // a longer body is not kept for a repetition

// What does no harm if somebody has recorded it and sends it again (RFC 8470 §4).
bool is_harmless(const Request& request) {
  using enum http::Method;
  constexpr http::MethodSet kSafe = http::method_bit(GET) | http::method_bit(HEAD) | http::method_bit(OPTIONS);
  return (kSafe & http::method_bit(request.head.method)) != 0 && request.framing.body.empty() &&
         !request.framing.upgrade;
}
}  // namespace

Exchange::Exchange(Engine& engine, Client& client)
    : Waiter(engine.loop()),
      engine_(engine),
      client_(&client),
      generation_(client.generation()),
      listener_(generation_->listener(client.connection().slot())),
      arena_(engine.loop().blocks()),
      to_client_(engine.loop().blocks()),
      to_upstream_(engine.loop().blocks()),
      replay_(engine.loop().blocks()),
      route_timer_(
          engine.loop().timers(), [](void* self) { static_cast<Exchange*>(self)->on_route_timeout(); }, this) {
  engine_.shard().step(generation_->series().in_flight, 1);
  const Downstream& downstream = client.connection();
  request_.peer = downstream.peer_ip();
  request_.client = request_.peer;
  request_.peer_trusted = downstream.trusted();
  request_.agreement = downstream.agreement();
  if (request_.agreement != nullptr) request_.scheme = "https";
  slices_.began = client.request_began();
}

Exchange::~Exchange() {
  SL_ASSERT(phase_ == Phase::over);
  if (filtering_ != nullptr) filtering_->~Filtering();
  engine_.shard().step(generation_->series().in_flight, -1);
}

void Exchange::start(const http::RequestHead& head, std::string_view bytes, bool early) {
  request_bytes_ = bytes.size();
  slices_.head_read = engine_.loop().now();
  const snapshot::Snapshot& snapshot = generation_->snapshot();
  const Result<void> read =
      read_request(head, bytes, listener(), snapshot.trusted_proxies, arena_, engine_.random(), request_);
  if (!read) return refuse(read.error(), request_.head.version);
  keep_alive_ = request_.framing.keep_alive && !client_->last_request();
  request_complete_ = request_.framing.body.empty();
  request_.early = early;
  if (early && !is_harmless(request_)) return answer_error({Reason::too_early, ""});
  const std::vector<uint32_t>& plugins = listener().plugins;
  if (plugins.empty()) return route();
  add_filters(plugins);
  filter_request_start();
}

void Exchange::route() {
  if (request_.target.asterisk) return answer_options();
  const Result<void> matched =
      match_route(generation_->snapshot(), filtering_ == nullptr ? nullptr : &filtering_->chain, request_);
  if (!matched) return answer_error(matched.error());
  if (request_.framing.body.kind == http::BodyFraming::Kind::length && request_.framing.body.length > body_limit()) {
    return answer_error({Reason::body_too_large, ""});
  }
  if (const Millis timeout = time_allowed(); timeout.count() > 0) route_timer_.set(engine_.loop().now() + timeout);
  if (request_.route->has_plugins) add_filters(request_.route->plugins);
  filtering_ == nullptr ? dispatch() : filter_request();
}

// 0: as long as it takes.
Millis Exchange::time_allowed() const {
  const Millis route = request_.route->timeout;
  const auto call = request_.is_grpc ? grpc_timeout(request_.head.headers) : std::nullopt;
  if (!call) return route;
  return route.count() > 0 ? std::min(route, *call) : *call;
}

void Exchange::refuse(Error error, http::Version version, http::Method method) {
  request_.head.version = version;
  if (method != http::Method::unknown) request_.head.method = method;
  // Where this request ends is unknown, so nothing behind it can be read either.
  keep_alive_ = false;
  request_complete_ = true;
  answer_error(error);
}

void Exchange::dispatch() {
  switch (request_.route->action) {
    case snapshot::Action::proxy: return start_proxying();
    case snapshot::Action::respond: return answer_respond();
    case snapshot::Action::redirect: return answer_redirect();
    case snapshot::Action::static_files: return answer_file();
  }
}

uint64_t Exchange::body_limit() const {
  const uint64_t own = request_.route == nullptr ? 0 : request_.route->body_limit;
  return own != 0 ? own : listener().body_limit;
}

void Exchange::start_proxying() {
  const snapshot::RouteSpec& route = *request_.route;
  uint32_t cluster = route.first_cluster;
  if (route.split.size() > 1) {
    uint32_t ticket = engine_.random().below(route.split_total);
    size_t share = 0;
    while (ticket >= route.split[share].weight) ticket -= route.split[share++].weight;
    cluster = route.split[share].cluster;
  }
  cluster_ = generation_->clusters[cluster].get();
  retries_ = generation_->series().clusters[cluster].retries;
  if (cluster_->empty()) return answer_error({Reason::upstream_unresolved, ""});
  cluster_->retry_budget().on_request(engine_.loop().now());

  const Result<std::string_view> head = compose_upstream_head(request_, arena_, engine_.random());
  if (!head) return answer_error(head.error());
  upstream_head_ = *head;
  // An endpoint of HTTP/2 may say that it did nothing with what it got; then any request is repeated.
  replayable_ = http::is_idempotent(request_.head.method) || cluster_->spec().protocol != snapshot::Protocol::http1;
  watch_client();
  begin_try(cluster_->choose(nullptr), false);
}

// --- the request's body ---

std::string_view Exchange::take_request_bytes(std::string_view bytes) {
  if (bytes.empty()) return bytes;
  const size_t before = bytes.size();
  if (phase_ == Phase::tunnel) {
    send_body(bytes);
    body_received_ += bytes.size();
    bytes = {};
  } else if (filtering_ != nullptr && client_paused_) {
    return bytes;  // a plugin, or a slow upstream, holds the client back
  } else if (request_.framing.body.kind == http::BodyFraming::Kind::chunked) {
    bytes = request_.head.version == http::Version::http2 ? take_unframed(bytes) : take_chunked(bytes);
  } else {
    const std::string_view data = bytes.substr(0, request_.framing.body.length - body_received_);
    bytes.remove_prefix(data.size());
    request_complete_ = body_received_ + data.size() == request_.framing.body.length;
    forward_body(data, request_complete_);
    if (request_complete_) end_request({}, 0);
  }
  request_bytes_ += before - bytes.size();
  if (!request_complete_ && phase_ != Phase::tunnel && phase_ != Phase::over) watch_client();
  return bytes;
}

std::string_view Exchange::take_chunked(std::string_view bytes) {
  while (phase_ != Phase::over) {
    const Result<http::ChunkedDecoder::Step> step = request_chunks_.next(bytes);
    if (!step) {
      refuse_body(step.error());
      return {};
    }
    bytes.remove_prefix(step->consumed);
    if (!step->data.empty()) forward_body(step->data, false);
    if (request_complete_) return {};  // refused
    if (filtering_ != nullptr && filtering_->holds_request) return bytes;
    const uint64_t limit = body_limit();
    if (phase_ != Phase::finishing && request_chunks_.chunk_left() > limit - std::min(limit, body_received_)) {
      refuse_body({Reason::body_too_large, ""});
      return {};
    }
    if (step->done) {
      end_request(request_chunks_.trailers(), request_chunks_.trailer_fields());
      return bytes;
    }
    if (step->consumed == 0) break;
  }
  return bytes;
}

// HTTP/2 frames bodies itself, so all of it is the body's; HTTP/1.1 upstream needs chunks.
std::string_view Exchange::take_unframed(std::string_view bytes) {
  forward_body(bytes, false);
  return {};
}

void Exchange::on_request_end(std::string_view trailers, size_t fields) {
  if (phase_ == Phase::tunnel) return on_client_eof();
  if (!request_complete_) end_request(trailers, fields);
  if (phase_ != Phase::over) on_client_pause_point();
}

void Exchange::forward_body(std::string_view data, bool last) {
  body_received_ += data.size();
  if (phase_ == Phase::finishing || phase_ == Phase::over) return;  // answered already: the rest is dropped
  if (body_received_ > body_limit()) return refuse_body({Reason::body_too_large, ""});
  const bool looks = filtering_ != nullptr && filtering_->chain.wants_request_body();
  if (!looks || filter_request_body(data, last)) send_body(data);
}

void Exchange::send_body(std::string_view data) {
  to_upstream_.add(data);
  if (!replayable_) return;
  replayable_ = replay_.size() + data.size() <= kReplayBytes;
  if (replayable_) {
    replay_.append(data);
  } else {
    replay_.clear();
  }
}

// What follows is not read as a request: nobody knows where this one ends.
void Exchange::refuse_body(Error error) {
  keep_alive_ = false;
  request_complete_ = true;
  fail(error);
}

void Exchange::end_request(std::string_view trailers, size_t fields) {
  request_complete_ = true;
  watch_client();
  if (phase_ == Phase::finishing || phase_ == Phase::over) return maybe_finish();
  if (request_.framing.body.kind != http::BodyFraming::Kind::chunked) return;
  const bool looks = filtering_ != nullptr && filtering_->chain.wants_request_body();
  if (!looks || filter_request_body({}, true)) finish_request(trailers, fields);
}

// What stands behind a chunked body.
void Exchange::finish_request(std::string_view trailers, size_t fields) {
  if (request_.framing.body.kind != http::BodyFraming::Kind::chunked) return;
  // Plugins do not see trailers, so a field that one of them takes away could come back as one (RFC 9110 §6.5.1 lets us drop them).
  if (trailers.empty() || filtering_ != nullptr) return;
  replayable_ = false;
  add_request_trailers(trailers, fields);
}

bool Exchange::request_ends() const {
  return request_complete_ && (filtering_ == nullptr || !filtering_->holds_request);
}

void Exchange::add_request_trailers(std::string_view block, size_t fields) {
  const Result<http::HeaderMap> parsed = http::parse_fields(block, arena_.allocate_array<http::HeaderField>(fields));
  if (!parsed) return refuse_body({Reason::bad_chunk, "malformed trailers"});
  upstream_trailers_ = compose_trailers(*parsed, arena_);
}

// The client's one timer: while it does not take what it gets, the write timeout runs (see wait_for_client); else it may be
// the rest of the request that is missing, unless it is us who do not read.
void Exchange::watch_client() {
  if (phase_ == Phase::awaiting) arm_response_timeout();
  if (client_ == nullptr || client_->wants_write()) return;
  // Of a call that streams both ways the answer is what is waited for.
  const bool streams = request_.is_grpc && response_begun_;
  if (request_complete_ || client_paused_ || streams) return client_->disarm();
  client_->arm(listener().timeouts.request_body, Reason::request_body_timeout);
}

// Begins, or goes on: a tunnel is idle while neither side takes a byte.
void Exchange::watch_tunnel() {
  if (client_ != nullptr) client_->arm(listener().timeouts.tunnel, Reason::tunnel_idle);
}

void Exchange::on_tunnel_progress(stats::SeriesId ListenerSeries::*direction, uint64_t bytes) {
  engine_.shard().add(client_->connection().series().*direction, bytes);
  watch_tunnel();
}

void Exchange::on_client_pause_point() {
  if (phase_ != Phase::finishing && phase_ != Phase::over) flush_upstream();
}

void Exchange::flush_upstream() {
  if (!lease_ || upstream_dead_) return hold_request();
  std::array<iovec, Outbox::kMostPieces> pieces;
  const bool ends = request_ends();
  // Behind a request for an Upgrade there may be a tunnel, which has an end of its own.
  const bool last = ends && (phase_ == Phase::tunnel || !request_.framing.upgrade);
  const auto [status, taken] = lease_->send(to_upstream_.pieces(pieces), last, upstream_trailers_);
  if (status == event::IoStatus::eof) return end_way_up();
  to_upstream_.sent(taken);
  sent_some_ = sent_some_ || lease_->has_sent();
  if (phase_ == Phase::tunnel && taken > 0) on_tunnel_progress(&ListenerSeries::tunnel_received, taken);
  if (status != event::IoStatus::ok) {
    // A dead endpoint may have answered before it closed: its bytes, or its end, come as an event of their own.
    upstream_dead_ = status != event::IoStatus::again;
    return hold_request();
  }
  sent_all_ = ends;
  if (client_paused_ && !(filtering_ != nullptr && filtering_->holds_request)) resume_client();
  if (phase_ == Phase::tunnel && request_complete_ && !upstream_shut_) {
    lease_->shutdown_write();
    end_way_up();
  }
}

// Of the tunnel. What could not be sent is not wanted.
void Exchange::end_way_up() {
  upstream_shut_ = true;
  to_upstream_.clear();
  if (client_paused_) resume_client();
  maybe_end_tunnel();
}

// What cannot be sent now is kept whole: a dead endpoint's request may go to another one.
void Exchange::hold_request() {
  to_upstream_.hold();
  if (to_upstream_.held() > kHighWatermark && client_ != nullptr) pause_client();
}

// The upstream is slow, so the client is not read and cannot be blamed for silence.
void Exchange::pause_client() {
  client_paused_ = true;
  client_->pause_reading();
  if (phase_ != Phase::tunnel) watch_client();
}

void Exchange::resume_client() {
  client_paused_ = false;
  if (client_ == nullptr) return;
  client_->resume_reading();
  if (phase_ != Phase::tunnel) watch_client();
}

// --- what the client does ---

void Exchange::on_client_eof() {
  if (phase_ == Phase::tunnel) {
    request_complete_ = true;
    return flush_upstream();
  }
  if (client_->last_request()) keep_alive_ = false;
  if (!request_complete_) client_->close(Reason::client_closed);
}

void Exchange::on_client_timeout(Reason reason) {
  if (reason == Reason::request_body_timeout && !response_begun_) return refuse_body({reason, ""});
  if (phase_ == Phase::tunnel || phase_ == Phase::finishing) {
    reason_ = reason_ == Reason::none ? reason : reason_;
    return client_->close(reason);
  }
  abort(reason);
}

void Exchange::on_route_timeout() { fail({Reason::route_timeout, ""}); }

// --- the end ---

void Exchange::maybe_finish() {
  if (phase_ == Phase::over || !response_complete_ || !to_client_.empty() || !client_->has_taken_all() ||
      file_left_ > 0 || (pipe_ && pipe_->held() > 0))
    return;
  phase_ = Phase::finishing;
  if (!request_complete_ && keep_alive_) return resume_client();  // a short rest of a body: the connection is worth it
  finish();
}

void Exchange::maybe_end_tunnel() {
  if (!upstream_shut_ || !client_shut_ || !to_upstream_.empty() || !to_client_.empty()) return;
  reason_ = Reason::tunnel_done;
  finish();
}

void Exchange::finish() {
  Client& client = *client_;
  const bool announced = request_complete_ && !request_.framing.keep_alive && reason_ == Reason::none;
  const auto after = keep_alive_ && request_complete_ ? Client::After::keep_alive
                     : announced                      ? Client::After::close
                                                      : Client::After::linger;
  end();
  client.on_exchange_end(after, reason_);
}

bool Exchange::outlives_client(Reason reason) {
  const bool left = reason == Reason::client_closed || reason == Reason::client_write_timeout ||
                    reason == Reason::http2_reset || reason == Reason::http2_error || reason == Reason::http2_flood ||
                    reason == Reason::tls_closed;  // behind early data
  const bool runs = phase_ != Phase::tunnel && phase_ != Phase::finishing && phase_ != Phase::over;
  if (!left || !runs || filtering_ == nullptr || !filtering_->outlives_client || !request_complete_) return false;
  if (pipe_ != nullptr || file_left_ > 0 || request_.framing.upgrade)
    return false;  // nobody looks at what is on its way
  if (reason_ == Reason::none) reason_ = reason;
  keep_alive_ = false;
  return true;
}

void Exchange::on_client_gone(Reason reason) {
  if (phase_ == Phase::over) return;
  if (reason_ == Reason::none) reason_ = reason;
  if (!response_begun_) status_ = row(Reason::client_closed).status;
  // The endpoint must not take for a good end what is none. Nothing is on its way in a tunnel that was silent.
  if (phase_ == Phase::tunnel && lease_ && reason_ != Reason::tunnel_idle) lease_->cut();
  end();
}

void Exchange::end() {
  phase_ = Phase::over;
  slices_.ended = engine_.loop().now();
  route_timer_.cancel();
  if (endpoint_) endpoint_->pool().cancel(*this);
  lease_.give_back(reason_ == Reason::none ? Reason::keepalive_done : reason_);
  engine_.pipes().give_back(std::move(pipe_));
  if (filtering_ != nullptr) complete_filters();
  record();
  client_ = nullptr;
  engine_.end_exchange(*this);
}

}  // namespace sluice::proxy
