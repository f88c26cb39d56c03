// The plugins' side of an Exchange: the request's head and body as they pass the plugins, and what those see of the exchange. The
// way back is exchange_filter_response.cc.

#include <algorithm>
#include <charconv>
#include <numeric>
#include <tuple>

#include "proxy/engine.h"

namespace sluice::proxy {

using filter::Chain;
using http::BodyFraming;
using Step = Chain::Step;

Exchange::Filtering::Filtering(Exchange& exchange)
    : chain(exchange.engine_.filter_host(), exchange),
      held_request(exchange.engine_.loop().blocks()),
      held_response(exchange.engine_.loop().blocks()) {}

// What Connection names is dropped before a plugin sees it: a client must not be able to name a field that a plugin sets.
void Exchange::drop_named_fields(http::HeaderMap& headers, http::ConnectionOptions& connection, Arena& arena) {
  if (!connection.names_fields) return;
  connection.names_fields = false;
  const auto kept = arena.allocate_array<http::HeaderField>(headers.size());
  http::ConnectionOptions named;
  named.names_fields = true;
  size_t count = 0;
  for (const http::HeaderField& field : headers) {
    // Those of framing are looked at by whoever composes the head.
    const bool others = field.id == http::HeaderId::other || !http::is_hop_by_hop(field, headers, {});
    if (!others || !http::is_hop_by_hop(field, headers, named)) kept[count++] = field;
  }
  headers = http::HeaderMap(kept.first(count));
}

void Exchange::add_filters(const std::vector<uint32_t>& plugins) {
  if (filtering_ == nullptr) {
    static_assert(alignof(Filtering) <= 8);
    filtering_ = new (arena_.allocate(sizeof(Filtering))) Filtering(*this);
    drop_named_fields(request_.head.headers, request_.framing.connection, arena_);
  }
  std::array<filter::WorkerInstance*, filter::kMaxFilters> instances;
  for (size_t i = 0; i < plugins.size(); ++i) instances[i] = generation_->plugins[plugins[i]].get();
  filtering_->chain.add({instances.data(), plugins.size()});
}

// --- the request's head ---

void Exchange::filter_request_start() {
  switch (filtering_->chain.request_start()) {
    case Step::next: return route();
    case Step::respond: return answer_plugin();
    case Step::wait:
    case Step::read_body: return wait_for_plugin();
  }
}

void Exchange::filter_request() {
  phase_ = Phase::filtering;
  switch (filtering_->chain.request()) {
    case Step::next: return dispatch();
    case Step::respond: return answer_plugin();
    case Step::wait: return wait_for_plugin();
    case Step::read_body: break;
  }
  filtering_->reads_body = true;
  if (!request_complete_) {
    if (request_.framing.expects_continue && body_received_ == 0) {
      client_->send_head("HTTP/1.1 100 Continue\r\n\r\n", to_client_);  // no upstream will say so
      flush_client();
    }
    if (client_paused_) resume_client();
    return watch_client();
  }
  std::ignore = filter_request_body({}, true);  // there is none: the plugin hears so
}

// Whatever else of the request comes stays with the client.
void Exchange::wait_for_plugin() {
  if (!request_complete_) pause_client();
}

// --- the request's body ---

// True if the piece goes on to the upstream; it waits, was read, or was answered if not.
bool Exchange::filter_request_body(std::string_view data, bool last) {
  switch (filtering_->chain.request_body(data, last)) {
    case Step::next: return true;
    case Step::read_body: return false;
    case Step::respond: answer_plugin(); return false;
    case Step::wait: break;
  }
  filtering_->holds_request = true;
  filtering_->held_request_is_last = last;
  filtering_->held_request.append(data);
  if (!request_complete_) pause_client();
  return false;
}

void Exchange::resume_request_body() {
  Filtering& filtering = *filtering_;
  const std::string_view piece = filtering.held_request.view();
  const bool last = filtering.held_request_is_last;
  const Step step = filtering.chain.request_body(piece, last);
  if (step == Step::wait) return;
  if (step == Step::next) send_body(piece);
  if (step == Step::next && last) finish_request({}, 0);
  to_upstream_.hold();
  filtering.holds_request = false;
  filtering.held_request.clear();
  if (step == Step::next) flush_upstream();
  if (step == Step::respond) answer_plugin();
  if (phase_ != Phase::over && client_paused_ && to_upstream_.held() <= kHighWatermark) resume_client();
}
// --- filter::Subject ---

std::string_view Exchange::fact(sluice_fact which) const {
  switch (which) {
    case SLUICE_METHOD: return request_.head.method_text;
    case SLUICE_SCHEME: return request_.scheme;
    case SLUICE_HOST: return request_.host;
    case SLUICE_PATH: return request_.path;
    case SLUICE_TARGET: return request_.head.target;
    case SLUICE_QUERY: return request_.target.query;
    case SLUICE_PROTOCOL: return http::name(request_.head.version);
    case SLUICE_PEER: return request_.peer;
    case SLUICE_CLIENT: return request_.client;
    case SLUICE_REQUEST_ID: return request_.id;
    case SLUICE_ROUTE: return request_.route == nullptr ? std::string_view() : request_.route->name;
    case SLUICE_LISTENER: return client_ == nullptr ? std::string_view() : listener().name;
    case SLUICE_REASON: return reason_ == Reason::none ? std::string_view() : reason_code();
    default: return fact_of_tls(which);
  }
}

std::string_view Exchange::fact_of_tls(sluice_fact which) const {
  if (request_.agreement == nullptr) return {};
  const tls::Agreement& agreed = *request_.agreement;
  switch (which) {
    case SLUICE_TLS_VERSION: return agreed.version;
    case SLUICE_TLS_CIPHER: return agreed.cipher;
    case SLUICE_TLS_SERVER_NAME: return agreed.server_name;
    case SLUICE_TLS_CLIENT_SUBJECT: return agreed.client_subject;
    case SLUICE_TLS_CLIENT_NAMES: return agreed.client_names;
    case SLUICE_TLS_CLIENT_FINGERPRINT: return agreed.client_fingerprint;
    default: return {};
  }
}

void Exchange::report(sluice_progress& progress) const {
  const auto bytes_of = [](const BodyFraming& body) -> int64_t {
    switch (body.kind) {
      case BodyFraming::Kind::none: return 0;
      case BodyFraming::Kind::length: return static_cast<int64_t>(body.length);
      default: return -1;
    }
  };
  const bool answered = filtering_->head.status != 0;
  progress.status = filtering_->head.status;
  progress.origin = filtering_->origin;
  progress.upstream_reached = upstream_reached_ || sent_some_;
  progress.request_body_bytes = bytes_of(request_.framing.body);
  const bool announced = answered && !filtering_->chain.replaces_response_body();
  progress.response_body_bytes = announced ? bytes_of(filtering_->framing.body) : -1;
}

bool Exchange::param(std::string_view name, std::string_view& value) const {
  if (request_.route == nullptr) return false;
  const auto& names = request_.route->captures;
  const auto found = std::find(names.begin(), names.end(), name);
  const auto index = static_cast<size_t>(found - names.begin());
  if (index >= request_.match.capture_count) return false;
  value = request_.match.captures[index];
  return true;
}

http::HeaderMap* Exchange::headers(sluice_side side) {
  if (side == SLUICE_REQUEST) return &request_.head.headers;
  return filtering_->head.status == 0 ? nullptr : &filtering_->head.headers;
}

void Exchange::write_response_body(std::string_view bytes) {
  constexpr size_t kFraming = 32;  // of a chunk, and of the last one
  to_client_.hold();               // so that all of it counts
  const auto has_room = [&] { return to_client_.held() + bytes.size() + kFraming <= Buffer::kMaxBytes; };
  // No plugin may make much more of a piece than it was, for that cannot be held back.
  if (!has_room()) send_held();
  filtering_->overflowed = filtering_->overflowed || !has_room();
  if (filtering_->overflowed) return;
  send_response_body(bytes);
  to_client_.hold();  // the plugin's view ends with its call
}

void Exchange::on_resumed(filter::Phase phase) {
  if (phase_ == Phase::over) return;
  switch (phase) {
    case filter::Phase::request_start: filter_request_start(); break;
    case filter::Phase::request: filter_request(); break;
    case filter::Phase::request_body: return phase_ == Phase::finishing ? void() : resume_request_body();
    case filter::Phase::response:
      filtering_->holds_head = false;
      run_response_filters();
      if (phase_ == Phase::over || filtering_->holds_head || filtering_->origin != SLUICE_FROM_UPSTREAM) return;
      if (filtering_->passed_by) return;
      return release_response(0, false);
    case filter::Phase::response_body:
      if (ended_call_) return;  // its trailers may be on their way
      return filtering_->origin == SLUICE_FROM_UPSTREAM ? resume_response_body() : filter_answer_body();
    case filter::Phase::complete: return;
  }
  if (phase_ == Phase::over) return;
  if (client_paused_ && phase_ != Phase::filtering) resume_client();
  on_client_pause_point();
}

void Exchange::complete_filters() {
  const bool lost = client_ != nullptr && client_->lost();
  const bool whole = response_complete_ && !ended_call_;
  const sluice_summary summary{
      .struct_size = sizeof(sluice_summary),
      .status = status_,
      .reason = {reason_code().data(), reason_ == Reason::none ? 0 : reason_code().size()},
      .attempts = tries_,
      .complete = whole && to_client_.empty() && file_left_ == 0 && !lost ? 1u : 0u,
      .bytes_in = request_bytes_,
      .bytes_out = to_client_.sent() + body_sent_,
      .read_head_us = static_cast<uint64_t>(slices_.read_head()),
      .wait_connection_us = static_cast<uint64_t>(slices_.wait_connection()),
      .upstream_first_byte_us = static_cast<uint64_t>(slices_.upstream_first_byte()),
      .response_us = static_cast<uint64_t>(slices_.response()),
      .total_us = static_cast<uint64_t>(slices_.total()),
  };
  filtering_->chain.complete(summary);
}

// "jwt:12 session:4": microseconds of each plugin that took as much as half of one.
std::string_view Exchange::plugin_costs() {
  constexpr size_t kMaxBytes = 512;
  constexpr size_t kNumberBytes = 24;  // with what stands around it
  char* const begin = arena_.allocate(kMaxBytes);
  char* at = begin;
  filtering_->chain.for_each_cost([&](std::string_view plugin, const auto& ticks) {
    const uint64_t nanos =
        engine_.filter_host().ticks().nanos(std::accumulate(ticks.begin(), ticks.end(), uint64_t{0}));
    const uint64_t micros = (nanos + 500) / 1000;
    if (micros == 0 || static_cast<size_t>(begin + kMaxBytes - at) < plugin.size() + kNumberBytes) return;
    if (at != begin) *at++ = ' ';
    at = std::copy(plugin.begin(), plugin.end(), at);
    *at++ = ':';
    at = std::to_chars(at, begin + kMaxBytes, micros).ptr;
  });
  return {begin, at};
}

// "jwt:request=11.8,complete=0.1 session:request=3.9": the same by phase, where most take less than one.
std::string_view Exchange::plugin_phase_costs() {
  constexpr std::string_view kNames[] = {
#define SL_ROW(name, text) text,
      SL_PLUGIN_PHASES(SL_ROW)
#undef SL_ROW
  };
  constexpr size_t kMaxBytes = 2048;
  constexpr size_t kPhaseBytes = 40;  // with what stands around it
  char* const begin = arena_.allocate(kMaxBytes);
  char* at = begin;
  filtering_->chain.for_each_cost([&](std::string_view plugin, const auto& ticks) {
    if (static_cast<size_t>(begin + kMaxBytes - at) < plugin.size() + 2 + kPhaseBytes * ticks.size()) return;
    const auto write = [&at](std::string_view text) { at = std::copy(text.begin(), text.end(), at); };
    std::string_view before = ":";
    for (size_t phase = 0; phase < ticks.size(); ++phase) {
      if (ticks[phase] == 0) continue;  // it was not called
      const uint64_t tenths = (engine_.filter_host().ticks().nanos(ticks[phase]) + 50) / 100;
      if (before == ":") write(at == begin ? "" : " "), write(plugin);
      write(std::exchange(before, ","));
      write(kNames[phase]);
      *at++ = '=';
      at = std::to_chars(at, begin + kMaxBytes, tenths / 10).ptr;
      *at++ = '.';
      *at++ = static_cast<char>('0' + tenths % 10);
    }
  });
  return {begin, at};
}

}  // namespace sluice::proxy
