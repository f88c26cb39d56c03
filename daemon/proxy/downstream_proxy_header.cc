// The PROXY protocol on a client's connection: what a load balancer says of the client before anything else, and what we tell
// endpoints of it.

#include <algorithm>

#include "base/log.h"
#include "proxy/downstream.h"
#include "proxy/engine.h"
#include "proxy/problem.h"

namespace sluice::proxy {

namespace {

// As far as RFC 4514 wants it escaped.
std::string subject_of(std::string_view common_name) {
  std::string subject = "CN=";
  for (size_t i = 0; i < common_name.size(); ++i) {
    const char c = common_name[i];
    const bool at_end = i == 0 || i + 1 == common_name.size();
    const bool special = std::string_view(",+\"\\<>;").find(c) != std::string_view::npos;
    if (special || (c == ' ' && at_end) || (c == '#' && i == 0)) subject += '\\';
    subject += c;
  }
  return subject;
}

// ALPN is left out: what the client agreed on with the load balancer need not be what that one speaks with us.
tls::Agreement agreement_of(const http::ProxyHeader& header) {
  tls::Agreement agreed;
  agreed.version = header.tls_version;
  agreed.cipher = header.tls_cipher;
  agreed.server_name = header.server_name;
  agreed.client_name = header.tls_client_name;
  if (!header.tls_client_name.empty()) agreed.client_subject = subject_of(header.tls_client_name);
  return agreed;
}

}  // namespace

bool Downstream::comes_with_proxy_header(const snapshot::ListenerSpec& listener) const {
  const std::vector<Network>& senders = listener.proxy_protocol;
  if (senders.empty()) return false;
  const auto from = SocketAddress::parse_ip(peer_ip());
  return !from ||
         std::any_of(senders.begin(), senders.end(), [&](const Network& each) { return each.contains(*from); });
}

void Downstream::expect_proxy_header(const snapshot::ListenerSpec& listener) {
  expects_proxy_header_ = true;
  set_state(stats::ConnectionState::handshake);
  arm(listener.timeouts.request_header, Reason::proxy_protocol_timeout);
}

// Only the header's own bytes are taken off the socket: what stands behind them belongs to TLS, or to a request.
void Downstream::read_proxy_header() {
  const std::span<char> buffer = engine().loop().read_buffer().first(http::kMaxProxyHeaderBytes);
  const event::IoResult there = stream_.peek(buffer);
  if (there.status == event::IoStatus::again) return;
  if (there.status != event::IoStatus::ok) {
    const bool silent = there.status == event::IoStatus::eof && pending_.empty();  // as health checks do
    return close(silent ? Reason::keepalive_done : Reason::client_closed);
  }
  const size_t taken_before = pending_.size();
  pending_.append({buffer.data(), there.bytes});
  http::ProxyHeader header;
  const Result<size_t> length = http::read_proxy_header(pending_.view(), header);
  if (!length) return refuse_proxy_header(length.error());
  const event::IoResult taken = stream_.read(buffer.first(*length == 0 ? there.bytes : *length - taken_before));
  engine().shard().add(series().received, taken.bytes);
  if (*length == 0) return;
  const snapshot::ListenerSpec& spec = generation_ ? listener() : *engine().current().listener(slot_);
  adopt_proxy_header(header, spec);
  expects_proxy_header_ = false;
  pending_.clear();
  set_state(stats::ConnectionState::idle);
  begin(spec);
}

// Whoever begins with a request instead, most likely a load balancer that is not told to send a header, hears so.
void Downstream::refuse_proxy_header(Error error) {
  log::debug("the PROXY protocol header of {} is refused: {} {}", peer_ip(), name(error.reason), error.detail);
  const snapshot::ListenerSpec& spec = generation_ ? listener() : *engine().current().listener(slot_);
  if (error.reason == Reason::proxy_protocol_missing && !spec.tls) send_problem(stream_.fd(), error.reason);
  close(error.reason);
}

// Without addresses it is the load balancer's own connection, a health check for instance.
void Downstream::adopt_proxy_header(const http::ProxyHeader& header, const snapshot::ListenerSpec& listener) {
  if (header.has_addresses) {
    peer_ip_length_ = static_cast<uint8_t>(header.source.write_ip(peer_ip_));
    peer_port_ = header.source.port();
    trusted_ = engine().is_trusted(header.source);
  }
  if (header.over_tls && !listener.tls) agreement_ = std::make_unique<const tls::Agreement>(agreement_of(header));
}

http::ProxyHeader Downstream::proxy_header() const {
  http::ProxyHeader header;
  if (const auto from = SocketAddress::parse_ip(peer_ip())) {
    header.has_addresses = true;
    header.source = from->with_port(peer_port_);
    header.destination = stream_.local_address();
  }
  if (agreement_ != nullptr) {
    header.over_tls = true;
    header.tls_version = agreement_->version;
    header.tls_cipher = agreement_->cipher;
    header.tls_client_name = agreement_->client_name;
    header.server_name = agreement_->server_name;
    header.alpn = agreement_->alpn;
  }
  return header;
}

}  // namespace sluice::proxy
