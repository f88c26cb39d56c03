// What is left of an Exchange when it is over: its counters and its line in the access log.

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "proxy/engine.h"

namespace sluice::proxy {

using stats::Slice;

void Exchange::record() {
  count();
  if (engine_.access_log() != nullptr) log();
}

std::string_view Exchange::reason_code() const {
  return reason_ == Reason::plugin_response ? filtering_->reason : name(reason_);
}

void Exchange::count() {
  stats::Shard& shard = engine_.shard();
  const Series& series = generation_->series();
  const RouteSeries& route = request_.route == nullptr ? series.unrouted : series.routes[request_.match.route];
  shard.add(stats::pick(route.requests, stats::status_class(status_)));
  if (is_tunnel_) {
    shard.step(client_->connection().series().tunnels_open, -1);
    shard.observe(client_->connection().series().tunnel_duration, static_cast<uint64_t>(slices_.total()));
  } else {
    shard.observe(route.duration, static_cast<uint64_t>(slices_.total()));
  }
  shard.observe(stats::pick(series.slices, Slice::read_head), static_cast<uint64_t>(slices_.read_head()));
  if (endpoint_) {
    shard.observe(stats::pick(series.slices, Slice::wait_connection), static_cast<uint64_t>(slices_.wait_connection()));
    shard.observe(stats::pick(series.slices, Slice::upstream_first_byte),
                  static_cast<uint64_t>(slices_.upstream_first_byte()));
    if (!is_tunnel_)
      shard.observe(stats::pick(series.slices, Slice::response), static_cast<uint64_t>(slices_.response()));
  }
  if (reason_ != Reason::none && reason_ != Reason::tunnel_done) shard.add(stats::pick(series.failures, reason_));
}

namespace {
// "192.0.2.1:40312", "[2001:db8::1]:40312", "unix"; without a port if it is a trusted peer that named the client.
std::string_view write_client(std::span<char> out, std::string_view ip, uint16_t port) {
  const bool v6 = ip.find(':') != std::string_view::npos;
  char* at = out.data();
  if (v6) *at++ = '[';
  at = std::copy(ip.begin(), ip.end(), at);
  if (v6) *at++ = ']';
  if (port != 0) {
    *at++ = ':';
    at = std::to_chars(at, out.data() + out.size(), port).ptr;
  }
  return {out.data(), at};
}
}  // namespace

void Exchange::log() {
  char client[INET6_ADDRSTRLEN + sizeof("[]:65535")];
  const bool is_peer = request_.client.data() == request_.peer.data();
  const std::string_view client_text =
      write_client(client, request_.client, is_peer ? client_->connection().peer_port() : 0);
  const event::Loop& loop = engine_.loop();
  const auto tells = [this](LogField field) { return filtering_ != nullptr && engine_.access_log()->names(field); };
  const bool written = engine_.access_log()->write({
      .wall_start = loop.wall() - (loop.now() - slices_.began),
      .request_id = request_.id,
      .client = client_text,
      .method = request_.head.method_text,
      .host = request_.framing.host,
      .target = request_.head.target,
      .route = request_.route == nullptr ? std::string_view() : request_.route->name,
      .endpoint = endpoint_ ? std::string_view(endpoint_->name()) : std::string_view(),
      .user_agent = request_.head.headers.value(http::HeaderId::user_agent),
      .referer = request_.head.headers.value(http::HeaderId::referer),
      .protocol = http::name(request_.head.version),
      .tls = request_.agreement == nullptr ? std::string_view() : request_.agreement->version,
      .early_data = request_.early,
      .status = status_,
      .reason = reason_,
      .detail = detail_,
      .plugin_reason = reason_ == Reason::plugin_response ? filtering_->reason : std::string_view(),
      .plugins = tells(LogField::plugins) ? plugin_costs() : std::string_view(),
      .plugin_phases = tells(LogField::plugin_phases) ? plugin_phase_costs() : std::string_view(),
      .bytes_in = request_bytes_,
      .bytes_out = to_client_.sent() + body_sent_,
      .attempts = tries_,
      .upstream_reused = upstream_reused_,
      .connection_reused = client_ != nullptr && client_->connection().requests() > 1,
      .read_head = static_cast<uint64_t>(slices_.read_head()),
      .wait_connection = static_cast<uint64_t>(slices_.wait_connection()),
      .upstream_first_byte = static_cast<uint64_t>(slices_.upstream_first_byte()),
      .response = static_cast<uint64_t>(slices_.response()),
      .total = static_cast<uint64_t>(slices_.total()),
  });
  if (written) engine_.shard().add(generation_->series().log_lines);
}

}  // namespace sluice::proxy
