// The upstream's side of an Exchange: tries, retries, and the response as it streams by.

#include <algorithm>

#include "base/strings.h"
#include "proxy/engine.h"
#include "proxy/grpc.h"
#include "proxy/problem.h"

namespace sluice::proxy {

using http::BodyFraming;

// --- tries ---

void Exchange::begin_try(upstream::Endpoint& endpoint, bool fresh) {
  ++tries_;
  endpoint_ = upstream::EndpointRef(endpoint);
  phase_ = Phase::connecting;
  slices_.try_began = engine_.loop().now();
  const Result<upstream::Carrier*> acquired = endpoint.pool().acquire(*this, fresh);
  if (!acquired) return on_lease_failed(acquired.error());
  if (*acquired != nullptr) attach(**acquired);
}

void Exchange::attach(upstream::Carrier& carrier) {
  lease_ = upstream::Lease(carrier);
  BodyFraming body = request_.framing.body;
  if (request_.framing.upgrade) {
    const Error refusal = carrier.refuses_tunnel(request_.head);
    if (refusal.reason != Reason::none) return fail(refusal);
    body = {BodyFraming::Kind::until_close, 0};
  }
  lease_->begin(upstream_head_, body);
  upstream_reused_ = carrier.reused();
  slices_.leased = engine_.loop().now();
  phase_ = Phase::awaiting;
  arm_response_timeout();
}

void Exchange::on_lease(upstream::Carrier& carrier) {
  attach(carrier);
  if (lease_) flush_upstream();
}

void Exchange::on_lease_failed(Error error) {
  if (!retry_after(error)) fail(error);
}

http::ProxyHeader Exchange::proxy_header() const {
  return client_ == nullptr ? http::ProxyHeader() : client_->connection().proxy_header();
}

upstream::Introductions* Exchange::introductions() const {
  return client_ == nullptr ? nullptr : &client_->connection().introductions();
}

// Runs while it is the endpoint that is waited for: to answer, to go on reading, or to say 100. Not while the client sends.
void Exchange::arm_response_timeout() {
  if (!lease_) return;
  const bool expects = request_.framing.expects_continue && body_received_ == 0;
  if (!request_complete_ && !client_paused_ && !expects) return lease_->disarm();
  const Millis whole = cluster_->spec().timeouts.response_header;
  const Millis per_try = cluster_->spec().retry.per_try;
  const bool try_first = per_try.count() > 0 && per_try < whole;
  lease_->arm(try_first ? per_try : whole, try_first ? Reason::upstream_try_timeout : Reason::upstream_timeout);
}

// Nothing was sent, or all of it is still here and may be sent twice. `unprocessed`: the endpoint said that it did nothing with it.
bool Exchange::can_repeat(bool unprocessed) const {
  if (response_begun_ || phase_ == Phase::tunnel) return false;
  return !sent_some_ || (replayable_ && (unprocessed || http::is_idempotent(request_.head.method)));
}

bool Exchange::retry_after(Error error) {
  const bool unprocessed = error.reason == Reason::upstream_refused;
  if (!can_repeat(unprocessed)) return false;
  if (unprocessed && !refused_ && !cluster_->empty()) {
    refused_ = true;
    engine_.shard().add(stats::pick(retries_, stats::RetryKind::refused));
    repeat(cluster_->choose(endpoint_.get()), error.reason, false);
    return true;
  }
  const bool stale = lease_ && lease_->reused() && !lease_->got_bytes() && !stale_retried_ &&
                     row(error.reason).retry == RetryHint::if_reused;
  if (stale) {
    stale_retried_ = true;
    engine_.shard().add(stats::pick(retries_, stats::RetryKind::stale));
    repeat(*endpoint_, error.reason, true);
    return true;
  }
  const snapshot::RetrySpec& policy = cluster_->spec().retry;
  const bool wanted =
      (policy.on_connect && (error.reason == Reason::connect_failed || error.reason == Reason::connect_timeout ||
                             error.reason == Reason::tls_handshake_failed)) ||
      (policy.on_reset &&
       (error.reason == Reason::upstream_reset || error.reason == Reason::upstream_silent || unprocessed)) ||
      (policy.on_timeout && error.reason == Reason::upstream_try_timeout);
  if (!wanted || cluster_->empty() || !spend_retry()) return false;
  repeat(cluster_->choose(endpoint_.get()), error.reason, false);
  return true;
}

bool Exchange::retry_status(const http::ResponseHead& head) {
  const snapshot::RetrySpec& policy = cluster_->spec().retry;
  const auto& statuses = policy.on_statuses;
  const bool by_status = std::find(statuses.begin(), statuses.end(), head.status) != statuses.end() &&
                         http::is_idempotent(request_.head.method);
  // A call that ended before it sent anything has its status in the head.
  const bool by_call = policy.on_grpc_statuses != 0 && request_.is_grpc &&
                       (policy.on_grpc_statuses >> grpc_status(head.headers).value_or(31) & 1) != 0;
  if (!by_status && !by_call) return false;
  if (!replayable_ || response_begun_ || cluster_->empty() || !spend_retry()) return false;
  lease_->spoil();
  repeat(cluster_->choose(endpoint_.get()), Reason::keepalive_done, false);
  return true;
}

bool Exchange::spend_retry() {
  if (policy_retries_ >= cluster_->spec().retry.attempts) return false;
  const bool allowed = cluster_->retry_budget().try_spend(engine_.loop().now());
  engine_.shard().add(stats::pick(retries_, allowed ? stats::RetryKind::policy : stats::RetryKind::denied_by_budget));
  if (allowed) ++policy_retries_;
  return allowed;
}

void Exchange::repeat(upstream::Endpoint& endpoint, Reason why, bool fresh) {
  lease_.give_back(why);
  upstream_dead_ = false;
  upstream_reached_ = upstream_reached_ || (sent_some_ && why != Reason::upstream_refused);
  sent_some_ = sent_all_ = false;
  if (to_upstream_.sent() > 0) {
    to_upstream_.clear();
    to_upstream_.add(replay_.view());
  }
  begin_try(endpoint, fresh);
  if (phase_ == Phase::connecting || phase_ == Phase::awaiting) flush_upstream();
}

// --- the response ---

void Exchange::on_informational(const http::ResponseHead& head) {
  if (request_.head.version == http::Version::http10) return;  // RFC 9110 §15.2
  http::ResponseHead shown = head;
  if (filtering_ != nullptr) shown.headers = without_dropped(head.headers);
  const Result<std::string_view> composed = compose_informational(shown, arena_);
  if (composed) client_->send_head(*composed, to_client_);
}

void Exchange::on_response_head(const http::ResponseHead& head, const http::ResponseFraming& framing) {
  slices_.first_byte = engine_.loop().now();
  const Micros waited = slices_.first_byte - slices_.leased;
  endpoint_->observe(slices_.first_byte, waited);
  engine_.shard().observe(endpoint_->pool().series().response_time, static_cast<uint64_t>(waited.count()));
  if (head.status == 101 && !request_.framing.upgrade) return fail({Reason::upstream_bad_response, "unasked 101"});
  if (retry_status(head)) return;
  filtering_ == nullptr ? send_head(head, framing) : filter_response(head, framing);
}

void Exchange::send_head(const http::ResponseHead& head, const http::ResponseFraming& framing) {
  const bool tunnel = head.status == 101;
  if (!tunnel) client_framing_ = client_framing(head, framing.body);
  if (!tunnel && filtering_ != nullptr && filtering_->chain.replaces_response_body()) use_unknown_length();
  const Result<std::string_view> composed =
      compose_client_head(request_, head, framing.connection, client_framing_, engine_.date(), arena_);
  if (!composed) return filtering_ == nullptr ? fail(composed.error()) : answer_unfiltered(composed.error());
  status_ = head.status;
  response_begun_ = true;
  client_->send_head(*composed, to_client_);
  if (tunnel) return begin_tunnel();
  phase_ = Phase::relaying;
  keep_alive_ = client_framing_.keep_alive;
  // Of an announced length, the end of a stream that is shorter would be an error of its own (RFC 9113 §8.1.1).
  ends_by_trailers_ = request_.is_grpc && head.status == 200 && is_grpc(head.headers) &&
                      client_framing_.body.kind == BodyFraming::Kind::until_close;
}

ClientFraming Exchange::client_framing(const http::ResponseHead& head, const BodyFraming& body) const {
  ClientFraming framing{body, keep_alive_ && may_keep_alive()};
  switch (body.kind) {
    case BodyFraming::Kind::length: break;
    case BodyFraming::Kind::none:
      // HEAD and 304 tell the length that GET would have had.
      if (const auto length = parse_u64(head.headers.value(http::HeaderId::content_length));
          length && head.status != 204) {
        framing.body = {BodyFraming::Kind::length, *length};
      }
      break;
    case BodyFraming::Kind::chunked:
    case BodyFraming::Kind::until_close: framing.use_unknown_length(request_.head.version);
  }
  return framing;
}

void Exchange::on_response_body(std::string_view data) {
  if (filtering_ == nullptr || filter_response_body(data, false)) send_response_body(data);
}

void Exchange::send_response_body(std::string_view data) {
  if (phase_ != Phase::tunnel && client_framing_.body.kind == BodyFraming::Kind::chunked) {
    to_client_.add_chunk(data);
  } else {
    to_client_.add(data);
  }
}

// Large bodies whose framing does not change pass without being copied to user space (DESIGN §9.6).
event::Pipe* Exchange::offer_splice(uint64_t left) {
  constexpr uint64_t kWorthAPipe = 64 * 1024;
  if (filtering_ != nullptr && (filtering_->holds_response() || filtering_->chain.wants_response_body()))
    return nullptr;
  event::Stream* const socket = client_->socket();
  if (client_->lost() || socket == nullptr || !socket->can_splice()) return nullptr;
  if (pipe_ == nullptr && left >= kWorthAPipe && client_framing_.body.kind == BodyFraming::Kind::length) {
    pipe_ = engine_.pipes().take();
  }
  return pipe_.get();
}

void Exchange::on_response_end(const http::HeaderMap& trailers) {
  if (filtering_ == nullptr || filter_response_end(trailers)) end_response(trailers);
}

void Exchange::end_response(const http::HeaderMap& trailers) {
  response_complete_ = true;
  if (phase_ == Phase::tunnel) return flush_client();
  if (trailers.size() > 0 && client_framing_.may_have_trailers(request_.head.version)) {
    client_->send_trailers(compose_trailers(filtering_ == nullptr ? trailers : without_dropped(trailers), arena_),
                           to_client_);
  } else if (client_framing_.body.kind == BodyFraming::Kind::chunked) {
    to_client_.add("0\r\n\r\n");
  }
  if (!sent_all_) {
    // An answer before the whole request was sent: the rest is not sent any more.
    if (lease_) lease_->spoil();
    to_upstream_.clear();
    phase_ = Phase::finishing;
  }
  flush_client();
  // The client may take its time; the connection is free for others now.
  lease_.give_back(Reason::keepalive_done);
}

void Exchange::begin_tunnel() {
  phase_ = Phase::tunnel;
  is_tunnel_ = true;
  engine_.shard().add(client_->connection().series().tunnels_opened);
  engine_.shard().step(client_->connection().series().tunnels_open, 1);
  keep_alive_ = false;
  request_complete_ = false;  // a client that sent its FIN already is heard of by pumping
  request_.framing.body = {BodyFraming::Kind::until_close, 0};
  replayable_ = false;
  route_timer_.cancel();
  lease_->disarm();
  client_->set_state(stats::ConnectionState::tunnel);
  watch_tunnel();
  client_->resume_reading();
}

// --- failures ---

void Exchange::on_upstream_error(Error error) {
  if (phase_ == Phase::finishing || phase_ == Phase::over) return lease_.give_back(error.reason);
  // A head that plugins look at is an answer: it is not asked for again.
  const bool answered = filtering_ != nullptr && filtering_->head.status != 0;
  if (answered || !retry_after(error)) fail(error);
}

void Exchange::fail(Error error) {
  if (phase_ == Phase::over || phase_ == Phase::finishing) return;
  if (!response_begun_) return answer_error(error);
  keep_detail(error);
  ends_by_trailers_ && !response_complete_ ? end_call(error.reason) : abort(error.reason);
}

// Trailers tell a client of gRPC why its call ends, where RST_STREAM would not; and with a status that is not OK no part is taken
// for the whole.
void Exchange::end_call(Reason reason) {
  if (reason_ == Reason::none) reason_ = reason;
  drop_upstream(reason);
  uint16_t status = row(reason).status;
  if (status == 0) status = reason == Reason::upstream_idle_timeout ? 504 : 502;
  http::HeadWriter trailers({arena_.allocate(kMaxProblemBytes), kMaxProblemBytes});
  write_grpc_status(trailers, {status, name(reason), row(reason).text, request_.id});
  trailers.end();
  client_->send_trailers(trailers.view(), to_client_);
  response_complete_ = ended_call_ = true;
  keep_alive_ = false;
  phase_ = Phase::finishing;
  flush_client();
}

// The response began and cannot be completed: the client must see that, and never take a part for the whole.
void Exchange::abort(Reason reason) {
  if (client_ == nullptr) return;
  if (reason_ == Reason::none) reason_ = reason;
  const bool end_means_complete =
      client_framing_.body.kind == BodyFraming::Kind::until_close || phase_ == Phase::tunnel;
  client_->abort(to_client_, end_means_complete, reason);
}

}  // namespace sluice::proxy
