// What a configuration means, compiled: plain immutable values that control/compile makes and every later floor reads. A
// Snapshot is shared by all workers and never changes; a reload makes a new one. Names are for people (logs, admin, labels);
// the request path uses indices. Every duration here is finite and > 0 unless its comment says that 0 means "none".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/source_files.h"
#include "http/head_scanner.h"
#include "http/message.h"
#include "http/proxy_protocol.h"
#include "snapshot/rare.h"
#include "snapshot/template.h"

namespace sluice::filter {
class Instance;  // floor 4; a snapshot only carries it
}
namespace sluice::tls {
class Certificate;  // likewise
class ClientContext;
class ServerContext;
}  // namespace sluice::tls

namespace sluice::snapshot {

struct DnsSpec {
  std::vector<SocketAddress> servers;  // empty: those of /etc/resolv.conf
  Millis timeout{2'000};               // of one try
  Millis min_ttl{1'000};               // how often a name is looked up at most...
  Millis max_ttl{300'000};             // ...and at least, whatever its TTL

  friend bool operator==(const DnsSpec&, const DnsSpec&) = default;
};

struct ProcessSpec {
  uint32_t workers = 1;  // `auto` is resolved by compile: usable CPUs
  bool pin_cpus = false;
  uint32_t max_connections = 65536;  // downstream, whole process
  Millis shutdown_grace{30'000};
  std::string user;        // to become once the listeners are open; empty: stay who we are
  std::string group;       // empty: the user's own
  std::string pid_file;    // empty: none
  std::string plugin_dir;  // empty: plugins beside the binary, or the installed ones
  bool watch = false;      // reload when a file changes
  DnsSpec dns;

  friend bool operator==(const ProcessSpec&, const ProcessSpec&) = default;
};

struct AdminSpec {
  bool enabled = true;
  SocketAddress address;
  std::string token;  // empty: none needed (loopback and unix only). Never printed.

  friend bool operator==(const AdminSpec&, const AdminSpec&) = default;
};

struct AccessLogSpec {
  enum class Format : uint8_t { off, json, combined, custom };
  Format format = Format::json;
  std::string path = "stdout";  // or an absolute path
  double sample = 1.0;          // 0..1, share of successful requests logged; errors (status >= 500) always are
  std::string custom_text;      // the template's source when format is custom
  std::string source;           // "sluice.yaml:7", where the template stands

  friend bool operator==(const AccessLogSpec&, const AccessLogSpec&) = default;
};

struct ListenerTimeouts {
  Millis request_header{10'000};
  Millis request_body{30'000};  // between reads
  Millis write{30'000};         // between writes
  Millis idle{60'000};          // keep-alive
  Millis tunnel{300'000};       // silence of both sides
  Millis tls_handshake{3'000};
};

/// TLS with clients: what of it stands in the configuration, and what it came to.
struct TlsServerSpec {
  enum class Version : uint8_t { tls12, tls13 };
  enum class ClientCertificate : uint8_t { required, optional };
  Version min_version = Version::tls12;
  Version max_version = Version::tls13;
  ClientCertificate client_certificate = ClientCertificate::required;  // if there is a client_ca_file
  bool session_tickets = true;
  bool early_data = false;
  std::vector<std::shared_ptr<const tls::Certificate>> certificates;
  std::shared_ptr<const tls::ServerContext> context;
};

struct ListenerSpec {
  std::string name;
  SocketAddress address;
  http::HeadLimits head;
  uint64_t body_limit = 10u << 20;
  uint64_t requests_per_connection = 0;  // 0: no limit
  bool http2 = true;                     // by ALPN, and by prior knowledge in the clear
  uint32_t http2_streams = 128;          // of one connection at a time
  bool allow_encoded_slash = false;
  ListenerTimeouts timeouts;
  std::optional<TlsServerSpec> tls;     // none: plain HTTP
  std::vector<Network> proxy_protocol;  // who begins each connection with a PROXY header
  std::vector<uint32_t> plugins;        // indices of Snapshot::plugins
};

/// A fixed address; or a name, which stands for as many endpoints as DNS knows addresses of it.
struct EndpointSpec {
  SocketAddress address;  // unless it has a host
  std::string name;       // as written; label and log value of a fixed one
  uint32_t weight = 1;    // 1..1000; of a name: each of its addresses
  std::string host;       // lower case; empty: the address is fixed
  uint16_t port = 0;      // of the host

  friend bool operator==(const EndpointSpec&, const EndpointSpec&) = default;
};

/// What an upstream's endpoints speak; automatic: what is agreed on by ALPN.
enum class Protocol : uint8_t { http1, http2, automatic };

enum class Balance : uint8_t { round_robin, random, least_request, p2c };

struct PoolSpec {
  uint32_t max_open = 256;  // per worker and endpoint
  uint32_t max_idle = 256;
  Millis idle_timeout{60'000};
  Millis max_lifetime{600'000};  // 0: none; ±10 % jitter
  uint64_t max_requests = 0;     // per connection; 0: no limit
  uint32_t max_pending = 1024;
  Millis pending_timeout{1'000};
  uint32_t max_streams = 100;  // of a connection of HTTP/2

  friend bool operator==(const PoolSpec&, const PoolSpec&) = default;
};

struct ClusterTimeouts {
  Millis connect{1'000};
  Millis response_header{30'000};
  Millis idle{60'000};  // between reads of the response body
  Millis ping{10'000};  // HTTP/2: silence, and then to answer a PING; 0: none is sent

  friend bool operator==(const ClusterTimeouts&, const ClusterTimeouts&) = default;
};

struct RetrySpec {
  uint32_t attempts = 1;  // further tries after the first; 0: never. A stale pooled connection's retry is not counted.
  bool on_connect = true;
  bool on_reset = false;              // before any response byte; only when the exchange is safe to repeat
  bool on_timeout = false;            // per_try ran out
  std::vector<uint16_t> on_statuses;  // 502, 503, 504, ...
  uint32_t on_grpc_statuses = 0;      // a bit for each status of gRPC (0 to 16)
  double budget = 0.2;  // share of requests (of the last 10 s) that may be retries; at least 3 are allowed
  Millis per_try{0};    // 0: none

  friend bool operator==(const RetrySpec&, const RetrySpec&) = default;
};

/// TLS to a server: what its context was made of, and the context itself.
struct TlsClientSpec {
  std::string server_name;        // which its certificate must have, and SNI; empty: the address that we connect to
  bool verify = true;             // false: any certificate will do
  std::string ca_pem;             // empty: the system's authorities
  SourceFiles::Stamp ca_stamp;    // of their file, in that case
  std::string certificate_pem;    // ours; empty: none
  std::string key_pem;            // Never printed.
  std::vector<std::string> alpn;  // what we offer to speak, best first; empty: none
  std::shared_ptr<const tls::ClientContext> context;

  friend bool operator==(const TlsClientSpec& a, const TlsClientSpec& b) {
    return a.server_name == b.server_name && a.verify == b.verify && a.ca_pem == b.ca_pem && a.ca_stamp == b.ca_stamp &&
           a.certificate_pem == b.certificate_pem && a.key_pem == b.key_pem && a.alpn == b.alpn;
  }
};

struct ClusterSpec {
  std::string name;
  std::vector<EndpointSpec> endpoints;  // never empty
  Balance balance = Balance::p2c;
  PoolSpec pool;
  ClusterTimeouts timeouts;
  RetrySpec retry;
  std::optional<TlsClientSpec> tls;
  http::ProxyVersion proxy_protocol = http::ProxyVersion::off;  // unless off, a connection serves one request
  Protocol protocol = Protocol::http1;

  friend bool operator==(const ClusterSpec&, const ClusterSpec&) = default;
};

/// A plugin and its configuration.
struct PluginSpec {
  std::string name;
  std::string module;
  std::shared_ptr<const filter::Instance> instance;
};

// --- stores ---

struct RedisSpec {
  enum class Mode : uint8_t { single, sentinel, cluster };
  Mode mode = Mode::single;
  std::vector<EndpointSpec> servers;  // single: the one; sentinel: the sentinels; cluster: any of its nodes
  std::string master_name;            // sentinel
  uint32_t db = 0;                    // cluster: 0
  std::string username;               // empty: the default user
  std::string password;               // empty: none. Never printed.
  uint32_t connections = 2;           // per worker
  Millis timeout{50};                 // of one operation
  std::optional<TlsClientSpec> tls;

  friend bool operator==(const RedisSpec&, const RedisSpec&) = default;
};

struct StoreSpec {
  enum class Type : uint8_t { memory, redis };
  std::string name;
  Type type = Type::memory;
  bool required = false;            // the gateway is not ready while the store is not
  uint64_t max_bytes = 256u << 20;  // memory
  bool evict = true;                // memory: what was used longest ago makes room for what is new
  RedisSpec redis;                  // redis

  friend bool operator==(const StoreSpec&, const StoreSpec&) = default;
};

// --- routes ---

/// A condition on a header, a query parameter, or a claim that a plugin of the listener verified: present with exactly that
/// value, or merely present if `any`.
struct Condition {
  enum class Kind : uint8_t { header, query, claim };
  Kind kind = Kind::header;
  std::string name;  // header names in lower case
  std::string value;
  bool any = false;  // written as true in YAML: present with any value
};

struct MatchSpec {
  std::vector<std::string> hosts;               // lower case; "api.example.com" or "*.example.com"; empty: any host
  std::string path;                             // the pattern as written, e.g. "/api/{id:int}"
  http::MethodSet methods = http::kAllMethods;  // GET implies HEAD (compile sets the bit)
  std::vector<Condition> conditions;
};

struct HeaderEdits {
  std::vector<std::pair<std::string, Template>> set;  // replaces all fields of that name
  std::vector<std::pair<std::string, Template>> add;
  std::vector<std::string> remove;
  [[nodiscard]] bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct SplitShare {
  uint32_t cluster = 0;
  uint32_t weight = 1;
};

enum class Action : uint8_t { proxy, respond, redirect, static_files };

struct RespondSpec {
  uint16_t status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

struct RedirectSpec {
  Template to;
  uint16_t status = 308;
};

struct StaticSpec {
  std::string root;  // absolute; opened once when the snapshot is compiled
  std::string index = "index.html";
  std::shared_ptr<const int> root_fd;  // O_PATH descriptor, closed with the last snapshot that uses it
};

struct alignas(64) RewriteSpec {
  Rare<Template> host;       // absent: the client's Host goes on
  Template path;             // empty: the path goes on unchanged
  std::string strip_prefix;  // empty: none
};

/// With many routes each cache line that a request reads of its own is a miss, so there is one for the request's way to
/// the upstream and one for the answer's way back; what neither reads comes last.
struct alignas(64) RouteSpec {
  Action action = Action::proxy;
  bool has_plugins = false;
  uint32_t first_cluster = 0;     // split[0].cluster
  std::vector<SplitShare> split;  // proxy: one or more clusters by weight
  Rare<RewriteSpec> rewrite;
  Rare<HeaderEdits> request_headers;
  Millis timeout{0};        // whole exchange; 0: none
  uint64_t body_limit = 0;  // 0: the listener's

  std::string name;  // given, or made from the pattern
  Rare<HeaderEdits> response_headers;
  Rare<RespondSpec> respond;
  Rare<RedirectSpec> redirect;
  Rare<StaticSpec> files;

  std::vector<uint32_t> plugins;  // indices of Snapshot::plugins
  uint32_t split_total = 0;       // sum of the weights
  std::string source;             // "sluice.yaml:42"
  MatchSpec match;
  /// Names of the path pattern's parameters in order; capture i of a match belongs to captures[i].
  std::vector<std::string> captures;
};

}  // namespace sluice::snapshot
