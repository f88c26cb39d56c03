#include "control/schema.h"

#include <array>
#include <iterator>

#include "base/format.h"
#include "control/binding.h"
#include "control/draft.h"
#include "control/values.h"

namespace sluice::control {

namespace {

using bind::by;
using bind::choose;
using bind::entries;
using bind::into;
using bind::list;
using bind::named_sections;
using bind::node_of;
using bind::nodes;
using bind::owned_by;
using bind::section;
using bind::section_nodes;
using bind::sections;
using bind::subtree_of;
using http::HeadLimits;
using snapshot::AccessLogSpec;
using snapshot::Balance;
using snapshot::ClusterSpec;
using snapshot::ClusterTimeouts;
using snapshot::DnsSpec;
using snapshot::EndpointSpec;
using snapshot::ListenerSpec;
using snapshot::ListenerTimeouts;
using snapshot::MatchSpec;
using snapshot::PoolSpec;
using snapshot::ProcessSpec;
using snapshot::Protocol;
using snapshot::RedirectSpec;
using snapshot::RedisSpec;
using snapshot::RespondSpec;
using snapshot::RetrySpec;
using snapshot::RouteSpec;
using snapshot::SplitShare;
using snapshot::StaticSpec;
using snapshot::StoreSpec;
using snapshot::TlsClientSpec;
using snapshot::TlsServerSpec;
using S = Section;
using T = Type;

constexpr Shape kList = Shape::list;
constexpr Shape kMap = Shape::map;
constexpr Presence kRequired = Presence::required;
constexpr Presence kLater = Presence::later;
constexpr uint64_t kDay = 86'400'000;
constexpr Range kTimeout = {1, kDay};  // finite, and something happens in it
constexpr Range kOptionalTimeout = {1, kDay, true};
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kTiB = uint64_t{1} << 40;
constexpr uint64_t kPiB = uint64_t{1} << 50;

constexpr Choice kProtocols[] = {
    {"http1", static_cast<uint8_t>(Protocol::http1)},
    {"http2", static_cast<uint8_t>(Protocol::http2)},
    {"auto", static_cast<uint8_t>(Protocol::automatic)},
};
constexpr Choice kBalances[] = {
    {"p2c", static_cast<uint8_t>(Balance::p2c)},
    {"round_robin", static_cast<uint8_t>(Balance::round_robin)},
    {"random", static_cast<uint8_t>(Balance::random)},
    {"least_request", static_cast<uint8_t>(Balance::least_request)},
    {"ring_hash", 0, kLater},
};
constexpr Choice kStoreTypes[] = {
    {"memory", static_cast<uint8_t>(StoreSpec::Type::memory)},
    {"redis", static_cast<uint8_t>(StoreSpec::Type::redis)},
};
constexpr Choice kRedisModes[] = {
    {"single", static_cast<uint8_t>(RedisSpec::Mode::single)},
    {"sentinel", static_cast<uint8_t>(RedisSpec::Mode::sentinel)},
    {"cluster", static_cast<uint8_t>(RedisSpec::Mode::cluster)},
};
constexpr Choice kTlsVersions[] = {
    {"1.2", static_cast<uint8_t>(TlsServerSpec::Version::tls12)},
    {"1.3", static_cast<uint8_t>(TlsServerSpec::Version::tls13)},
};
constexpr Choice kClientCertificates[] = {
    {"required", static_cast<uint8_t>(TlsServerSpec::ClientCertificate::required)},
    {"optional", static_cast<uint8_t>(TlsServerSpec::ClientCertificate::optional)},
};
constexpr Choice kProxyVersions[] = {
    {"off", static_cast<uint8_t>(http::ProxyVersion::off)},
    {"v1", static_cast<uint8_t>(http::ProxyVersion::v1)},
    {"v2", static_cast<uint8_t>(http::ProxyVersion::v2)},
};
constexpr Choice kLogFormats[] = {
    {"json", static_cast<uint8_t>(AccessLogSpec::Format::json)},
    {"combined", static_cast<uint8_t>(AccessLogSpec::Format::combined)},
    {"off", static_cast<uint8_t>(AccessLogSpec::Format::off)},
};

// clang-format off
constexpr SectionRow kSections[] = {
    {S::root, "", "", "The top of the file.", owned_by<Draft>()},
    {S::process, "process", "", "The process as a whole.", owned_by<ProcessSpec>()},
    {S::dns, "process.dns", "",
     "How the names of endpoints are resolved. They are looked up again whenever their TTL is over; while that fails, the "
     "addresses known before stay in use.",
     owned_by<DnsSpec>()},
    {S::admin, "admin", "",
     "The admin listener: metrics, health, configuration. Off loopback it needs a token.", owned_by<AdminDraft>()},
    {S::access_log, "access_log", "format",
     "One line per request. `access_log: off` switches it off.", owned_by<AccessLogSpec>()},
    {S::listener, "listeners.<name>", "",
     "An address on which clients are accepted. At least one is needed; the name is yours.",
     owned_by<ListenerDraft>()},
    {S::listener_limits, "listeners.<name>.limits", "",
     "What one request may cost. Past a limit the client gets 413, 414 or 431.", owned_by<ListenerSpec>()},
    {S::listener_timeouts, "listeners.<name>.timeouts", "",
     "How long a client may take.", owned_by<ListenerTimeouts>()},
    {S::listener_tls, "listeners.<name>.tls", "",
     "HTTPS. When one of these files changes, the gateway reloads by itself, as it does for SIGHUP; a certificate whose new key "
     "is not there yet waits for it. Connections go on with what they began with, and sessions outlive reloads.",
     owned_by<TlsServerDraft>()},
    {S::certificate, "listeners.<name>.tls.certificates[]", "",
     "A certificate and its key, as PEM files. It is shown to clients that ask (SNI) for one of the DNS names in it, `*.` ones "
     "included. An RSA and an ECDSA certificate for the same names may stand side by side.",
     owned_by<TlsCertificateDraft>()},
    {S::upstream, "upstreams.<name>", "",
     "A set of endpoints that serve the same thing; the name is yours.", owned_by<UpstreamDraft>()},
    {S::endpoint, "upstreams.<name>.endpoints[]", "address",
     "One server, or one name: each address that DNS knows of a name is an endpoint. A bare `127.0.0.1:9001` is short for "
     "`{address: 127.0.0.1:9001}`. Exactly one of `address` and `dns` is given.",
     owned_by<EndpointDraft>()},
    {S::pool, "upstreams.<name>.pool", "",
     "Kept connections, per worker and endpoint.", owned_by<PoolSpec>()},
    {S::upstream_timeouts, "upstreams.<name>.timeouts", "",
     "How long an endpoint may take.", owned_by<ClusterTimeouts>()},
    {S::retry, "upstreams.<name>.retry", "",
     "When a failed request is tried again. A POST is never sent twice unless the first one surely did not "
     "arrive.",
     owned_by<RetrySpec>()},
    {S::client_tls, "upstreams.<name>.tls, stores.<name>.tls", "enabled",
     "TLS 1.2 or 1.3 to the servers of an upstream, or of a `redis` store, its sentinels included. `tls: true` is enough where the "
     "system's authorities vouch for them. Certificates and keys are PEM files; when one changes, or the file of the system's authorities, the gateway reloads by itself.",
     owned_by<TlsClientDraft>()},
    {S::store, "stores.<name>", "",
     "Where plugins keep what they must remember; the name is yours. `memory`: in this process, gone when it ends. `redis`: "
     "shared with other gateways.",
     owned_by<StoreDraft>()},
    {S::route, "routes[]", "",
     "Which requests go where. Exactly one of `upstream`, `split`, `respond`, `redirect` and `static` is "
     "given.",
     owned_by<RouteDraft>()},
    {S::match, "routes[].match", "",
     "Which requests the route takes. All conditions must hold.", owned_by<MatchDraft>()},
    {S::split, "routes[].split[]", "", "One share of the requests.", owned_by<SplitDraft>()},
    {S::respond, "routes[].respond", "", "An answer made here.", owned_by<RespondDraft>()},
    {S::redirect, "routes[].redirect", "", "A redirection made here.", owned_by<RedirectDraft>()},
    {S::static_files, "routes[].static", "", "Files from a folder.", owned_by<StaticDraft>()},
    {S::rewrite, "routes[].rewrite", "",
     "What the upstream sees instead of the client's path and Host.", owned_by<RewriteDraft>()},
    {S::headers, "routes[].headers", "", "Changes of header fields.", owned_by<HeadersDraft>()},
    {S::header_edits, "routes[].headers.request, .response", "",
     "Fields to change, in the order remove, set, add. Values are templates. Fields that frame messages or "
     "belong to one connection cannot be changed.",
     owned_by<HeaderEditsDraft>()},
    {S::route_limits, "routes[].limits", "",
     "Limits of this route, instead of the listener's.", owned_by<RouteSpec>()},
    {S::plugin, "plugins.<name>", "module",
     "An instance of a plugin: a module and a configuration of its own, by which listeners and routes name it; the name is "
     "yours. A bare `request-id` is short for `{module: request-id}`.",
     owned_by<PluginDraft>()},
};

// Rows of one section stand together, in the order of the documentation.
constexpr Row kRows[] = {
    {.section = S::root, .key = "version", .type = T::integer, .presence = kRequired, .range = {1, 1},
     .help = "Version of this format: 1.", .binding = by<read_version>},
    {.section = S::root, .key = "include", .type = T::glob,
     .help = "Further files whose listeners, upstreams, stores and routes are added. Relative to this file; matches of a "
             "pattern are read in alphabetical order, after this file's own entries.",
     .binding = by<read_include>},
    {.section = S::root, .key = "process", .child = S::process,
     .help = "Workers, connections, shutdown.", .binding = section<&Draft::process>},
    {.section = S::root, .key = "admin", .child = S::admin,
     .help = "The admin listener.", .binding = section<&Draft::admin>},
    {.section = S::root, .key = "access_log", .child = S::access_log,
     .help = "The log of requests.", .binding = section<&Draft::access_log>},
    {.section = S::root, .key = "trusted_proxies", .type = T::network, .shape = kList, .fallback = "[]",
     .help = "Peers whose X-Forwarded-* headers are believed and added to, and whose Forwarded goes on as it came; by "
             "default nobody's: others' are replaced, and their Forwarded is dropped.",
     .binding = list<&Draft::trusted_proxies>},
    {.section = S::root, .key = "listeners", .shape = kMap, .child = S::listener, .presence = kRequired,
     .help = "Where clients connect, by name.", .binding = named_sections<&Draft::listeners>},
    {.section = S::root, .key = "upstreams", .shape = kMap, .child = S::upstream,
     .help = "Where requests go, by name.", .binding = named_sections<&Draft::upstreams>},
    {.section = S::root, .key = "stores", .shape = kMap, .child = S::store,
     .help = "Where plugins keep what they must remember, by name.", .binding = named_sections<&Draft::stores>},
    {.section = S::root, .key = "routes", .shape = kList, .child = S::route,
     .help = "Which request goes to which upstream. The most specific path wins, not the first: literal, then typed "
             "or regular expression, then plain parameter, then rest.",
     .binding = section_nodes<&Draft::routes>},
    {.section = S::root, .key = "plugins", .shape = kMap, .child = S::plugin,
     .help = "Plugins and their configurations, by name.", .binding = named_sections<&Draft::plugins>},

    {.section = S::process, .key = "workers", .type = T::workers, .fallback = "auto", .range = {1, 1024},
     .help = "Threads that serve requests; `auto`: one for each usable CPU.", .binding = by<read_workers>},
    {.section = S::process, .key = "pin_cpus", .type = T::boolean, .fallback = "false",
     .help = "Bind each worker to a CPU of its own.", .binding = into<&ProcessSpec::pin_cpus>},
    {.section = S::process, .key = "max_connections", .type = T::integer, .fallback = "65536", .range = {1, 10'000'000},
     .help = "Clients connected at the same time, whole process; further ones are turned away.",
     .binding = into<&ProcessSpec::max_connections>},
    {.section = S::process, .key = "shutdown_grace", .type = T::duration, .fallback = "30s", .range = kTimeout,
     .help = "How long requests may still run after SIGTERM. Then what is left is cut; a WebSocket too, without a Close frame, since the gateway "
             "does not look into tunnels: clients see 1006.", .binding = into<&ProcessSpec::shutdown_grace>},
    {.section = S::process, .key = "user", .type = T::text,
     .help = "Whom the gateway becomes once its listeners are open. Needs a start as root; not under systemd, whose unit "
             "says `User=`.",
     .binding = into<&ProcessSpec::user>},
    {.section = S::process, .key = "group", .type = T::text,
     .help = "With `user`: its group; by default the user's own.", .binding = into<&ProcessSpec::group>},
    {.section = S::process, .key = "pid_file", .type = T::absolute_path,
     .help = "File that holds the process id while the gateway runs. It is removed at the end if `user` may do that.",
     .binding = into<&ProcessSpec::pid_file>},
    {.section = S::process, .key = "plugin_dir", .type = T::absolute_path,
     .help = "Folder of the modules; without it `plugins` beside the binary, or else lib/sluice/plugins below its prefix: /usr/lib/sluice/plugins for /usr/sbin/sluice.",
     .binding = into<&ProcessSpec::plugin_dir>},
    {.section = S::process, .key = "watch", .type = T::boolean, .fallback = "false",
     .help = "Reload by itself when this file, an included one, `token_file` or the folder of a `static` route is another one "
             "than was read, and when an `include` pattern has more or fewer matches; a quarter of a second after the last "
             "change. For the files of `tls` sections that happens without `watch` too. Files on a network file system that another machine writes need SIGHUP.",
     .binding = into<&ProcessSpec::watch>},
    {.section = S::process, .key = "dns", .child = S::dns,
     .help = "How the names of endpoints are resolved.", .binding = section<&ProcessSpec::dns>},

    {.section = S::dns, .key = "servers", .type = T::dns_server, .shape = kList, .fallback = "[]",
     .help = "Who is asked, in this order; without a port: 53. Without an entry: the servers of /etc/resolv.conf, which is "
             "read again when it changes.",
     .binding = list<&DnsSpec::servers>},
    {.section = S::dns, .key = "timeout", .type = T::duration, .fallback = "2s", .range = {10, 60'000},
     .help = "For one question to one server. Each is asked twice, with twice the time.",
     .binding = into<&DnsSpec::timeout>},
    {.section = S::dns, .key = "min_ttl", .type = T::duration, .fallback = "1s", .range = {100, kDay},
     .help = "A name is not looked up more often than this, whatever its TTL.", .binding = into<&DnsSpec::min_ttl>},
    {.section = S::dns, .key = "max_ttl", .type = T::duration, .fallback = "5m", .range = {100, kDay},
     .help = "A name is looked up at least as often as this, whatever its TTL.", .binding = into<&DnsSpec::max_ttl>},

    {.section = S::admin, .key = "listen", .type = T::admin_address, .fallback = "127.0.0.1:9901",
     .help = "Where the admin listener listens; `off`: nowhere.", .binding = node_of<&AdminDraft::listen>},
    {.section = S::admin, .key = "token_file", .type = T::file,
     .help = "File with the token that clients send as `Authorization: Bearer`. Needed if `listen` is not a "
             "loopback address or a unix socket.",
     .binding = node_of<&AdminDraft::token_file>},

    {.section = S::access_log, .key = "path", .type = T::log_path, .fallback = "stdout",
     .help = "An absolute path, or `stdout`.", .binding = into<&AccessLogSpec::path>},
    {.section = S::access_log, .key = "format", .type = T::log_format, .fallback = "json", .choices = kLogFormats,
     .help = "Form of a line; `off`: no log.", .binding = by<read_log_format>},
    {.section = S::access_log, .key = "sample", .type = T::share, .fallback = "100%",
     .help = "Share of requests that are logged; those with a status of 500 and more always are.",
     .binding = into<&AccessLogSpec::sample>},

    {.section = S::listener, .key = "address", .type = T::listen_address, .presence = kRequired,
     .help = "Where to listen.", .binding = node_of<&ListenerDraft::address>},
    {.section = S::listener, .key = "limits", .child = S::listener_limits,
     .help = "What one request may cost.", .binding = section<&ListenerDraft::spec>},
    {.section = S::listener, .key = "timeouts", .child = S::listener_timeouts,
     .help = "How long a client may take.", .binding = section<&ListenerDraft::spec, &ListenerSpec::timeouts>},
    {.section = S::listener, .key = "allow_encoded_slash", .type = T::boolean, .fallback = "false",
     .help = "Let `%2F` and `%5C` in paths through untouched; otherwise they are answered 400.",
     .binding = into<&ListenerDraft::spec, &ListenerSpec::allow_encoded_slash>},
    {.section = S::listener, .key = "http2", .type = T::boolean, .fallback = "true",
     .help = "Speak HTTP/2 with clients that do: those that ask for it in TLS (ALPN), and those that begin with it in the clear.",
     .binding = into<&ListenerDraft::spec, &ListenerSpec::http2>},
    {.section = S::listener, .key = "tls", .child = S::listener_tls,
     .help = "HTTPS; without it bytes go in the clear.", .binding = section<&ListenerDraft::tls>},
    {.section = S::listener, .key = "proxy_protocol", .type = T::network, .shape = kList, .fallback = "[]",
     .help = "Load balancers that begin each connection with a PROXY protocol header (version 1 or 2), before TLS: the address in it is "
             "the client's from there on, also for `trusted_proxies`. From them it is required; from anybody else it is not understood. "
             "At a `unix:` address everybody is meant once there is an entry.",
     .binding = by<read_proxy_protocol>},
    {.section = S::listener, .key = "plugins", .type = T::plugin_name, .shape = kList, .fallback = "[]",
     .help = "Plugins for every request, in this order; they run before those of the route, and see requests before routing.",
     .binding = nodes<&ListenerDraft::plugins>},

    {.section = S::listener_limits, .key = "request_line", .type = T::size, .fallback = "8KiB", .range = {64, 64 * kKiB},
     .help = "Longest request line; at most `header_bytes`.",
     .binding = into<&ListenerSpec::head, &HeadLimits::first_line_bytes>},
    {.section = S::listener_limits, .key = "header_bytes", .type = T::size, .fallback = "32KiB", .range = {256, 64 * kKiB},
     .help = "Largest request head, request line included.",
     .binding = into<&ListenerSpec::head, &HeadLimits::head_bytes>},
    {.section = S::listener_limits, .key = "headers", .type = T::integer, .fallback = "100", .range = {1, 1000},
     .help = "Most header fields of a request.", .binding = into<&ListenerSpec::head, &HeadLimits::fields>},
    {.section = S::listener_limits, .key = "body", .type = T::size, .fallback = "10MiB", .range = {1, kPiB},
     .help = "Largest request body.", .binding = into<&ListenerSpec::body_limit>},
    {.section = S::listener_limits, .key = "requests_per_connection", .type = T::integer, .fallback = "0",
     .help = "Requests after which a connection is closed; 0: any number.",
     .binding = into<&ListenerSpec::requests_per_connection>},
    {.section = S::listener_limits, .key = "http2_streams", .type = T::integer, .fallback = "128", .range = {1, 10'000},
     .help = "Requests that one connection of HTTP/2 may have open at a time.",
     .binding = into<&ListenerSpec::http2_streams>},

    {.section = S::listener_timeouts, .key = "request_header", .type = T::duration, .fallback = "10s", .range = kTimeout,
     .help = "For the whole request head, and for a PROXY protocol header before it.", .binding = into<&ListenerTimeouts::request_header>},
    {.section = S::listener_timeouts, .key = "request_body", .type = T::duration, .fallback = "30s", .range = kTimeout,
     .help = "Between two reads of the request body.", .binding = into<&ListenerTimeouts::request_body>},
    {.section = S::listener_timeouts, .key = "write", .type = T::duration, .fallback = "30s", .range = kTimeout,
     .help = "Between two writes of the response.", .binding = into<&ListenerTimeouts::write>},
    {.section = S::listener_timeouts, .key = "idle", .type = T::duration, .fallback = "1m", .range = kTimeout,
     .help = "Between two requests.", .binding = into<&ListenerTimeouts::idle>},
    {.section = S::listener_timeouts, .key = "tunnel", .type = T::duration, .fallback = "5m", .range = kTimeout,
     .help = "For a WebSocket or other tunnel in which neither side says anything; pings are something.",
     .binding = into<&ListenerTimeouts::tunnel>},
    {.section = S::listener_timeouts, .key = "tls_handshake", .type = T::duration, .fallback = "3s", .range = kTimeout,
     .help = "For the TLS handshake.", .binding = into<&ListenerTimeouts::tls_handshake>},

    {.section = S::listener_tls, .key = "certificates", .shape = kList, .child = S::certificate, .presence = kRequired,
     .help = "Who the listener is. The first one is for clients that ask for no name, or for an unknown one.",
     .binding = sections<&TlsServerDraft::certificates>},
    {.section = S::listener_tls, .key = "min_version", .type = T::choice, .fallback = "1.2", .choices = kTlsVersions,
     .help = "Oldest version of TLS.", .binding = choose<&TlsServerDraft::spec, &TlsServerSpec::min_version>},
    {.section = S::listener_tls, .key = "max_version", .type = T::choice, .fallback = "1.3", .choices = kTlsVersions,
     .help = "Newest version of TLS.", .binding = choose<&TlsServerDraft::spec, &TlsServerSpec::max_version>},
    {.section = S::listener_tls, .key = "ciphers", .type = T::text,
     .help = "Ciphers of TLS 1.2, by OpenSSL's names with `:` between them; without it those of Mozilla's intermediate profile. "
             "Those of TLS 1.3 are fixed, and so are the groups: X25519, P-256, P-384.",
     .binding = node_of<&TlsServerDraft::ciphers>},
    {.section = S::listener_tls, .key = "client_ca_file", .type = T::file,
     .help = "Clients are asked for a certificate, which one of the authorities in this PEM file must have made.",
     .binding = node_of<&TlsServerDraft::client_ca_file>},
    {.section = S::listener_tls, .key = "client_certificate", .type = T::choice, .fallback = "required",
     .choices = kClientCertificates,
     .help = "With `client_ca_file`: whether clients without a certificate are let in. One that is given must be good either way.",
     .binding = choose<&TlsServerDraft::spec, &TlsServerSpec::client_certificate>},
    {.section = S::listener_tls, .key = "session_tickets", .type = T::boolean, .fallback = "true",
     .help = "Clients that come back within 12 hours resume their session, which spares both sides the signature. Not with `client_ca_file`: those show their certificate each time.",
     .binding = into<&TlsServerDraft::spec, &TlsServerSpec::session_tickets>},
    {.section = S::listener_tls, .key = "ticket_key_files", .type = T::file, .shape = kList, .fallback = "[]",
     .help = "Files of 80 random bytes that a fleet of gateways shares, so that each resumes what another began. The first one seals new "
             "tickets. Without it the process makes its own keys, anew every 12 hours.",
     .binding = nodes<&TlsServerDraft::ticket_key_files>},
    {.section = S::listener_tls, .key = "early_data", .type = T::boolean, .fallback = "false",
     .help = "Clients that resume a session of TLS 1.3 may send requests before the handshake is over (0-RTT). Somebody may have recorded such a request and "
             "send it again: only GET, HEAD and OPTIONS without a body are served then, upstreams see `Early-Data: 1`, the rest is 425 (`too_early`).",
     .binding = into<&TlsServerDraft::spec, &TlsServerSpec::early_data>},

    {.section = S::certificate, .key = "cert_file", .type = T::file, .presence = kRequired,
     .help = "The certificate, followed by those between it and its authority.",
     .binding = node_of<&TlsCertificateDraft::cert_file>},
    {.section = S::certificate, .key = "key_file", .type = T::file, .presence = kRequired,
     .help = "Its key, without a password.", .binding = node_of<&TlsCertificateDraft::key_file>},
    {.section = S::certificate, .key = "ocsp_file", .type = T::file,
     .help = "An OCSP response in DER, which is stapled.", .binding = node_of<&TlsCertificateDraft::ocsp_file>},

    {.section = S::upstream, .key = "endpoints", .shape = kList, .child = S::endpoint, .presence = kRequired,
     .help = "The servers.", .binding = sections<&UpstreamDraft::endpoints>},
    {.section = S::upstream, .key = "balance", .type = T::choice, .fallback = "p2c", .choices = kBalances,
     .help = "How an endpoint is chosen. `p2c`: the less loaded of two random ones.",
     .binding = choose<&UpstreamDraft::spec, &ClusterSpec::balance>},
    {.section = S::upstream, .key = "pool", .child = S::pool,
     .help = "Kept connections.", .binding = section<&UpstreamDraft::spec, &ClusterSpec::pool>},
    {.section = S::upstream, .key = "timeouts", .child = S::upstream_timeouts,
     .help = "How long an endpoint may take.", .binding = section<&UpstreamDraft::spec, &ClusterSpec::timeouts>},
    {.section = S::upstream, .key = "retry", .child = S::retry,
     .help = "When to try again.", .binding = section<&UpstreamDraft::spec, &ClusterSpec::retry>},
    {.section = S::upstream, .key = "health", .presence = kLater, .help = "Active health checks."},
    {.section = S::upstream, .key = "breaker", .presence = kLater, .help = "Circuit breaker."},
    {.section = S::upstream, .key = "tls", .child = S::client_tls,
     .help = "TLS to the endpoints; without it bytes go in the clear.", .binding = section<&UpstreamDraft::tls>},
    {.section = S::upstream, .key = "proxy_protocol", .type = T::choice, .fallback = "off", .choices = kProxyVersions,
     .help = "Tell the endpoints whose connection it is by a PROXY protocol header, before TLS; `v2` also tells what the client agreed "
             "on by TLS. A connection then serves the requests of one connection of a client, and is closed with it.",
     .binding = choose<&UpstreamDraft::spec, &ClusterSpec::proxy_protocol>},
    {.section = S::upstream, .key = "protocol", .type = T::choice, .fallback = "http1", .choices = kProtocols,
     .help = "What the endpoints speak. `http2`: many requests at a time on each connection; without `tls` both sides have to know "
             "(h2c). `auto`, with `tls`: HTTP/2 if the endpoint chooses it (ALPN). WebSocket needs endpoints "
             "that take extended CONNECTs then (RFC 8441); other upgrades need HTTP/1.1.",
     .binding = choose<&UpstreamDraft::spec, &ClusterSpec::protocol>},

    {.section = S::endpoint, .key = "address", .type = T::address,
     .help = "Where the server listens. `localhost` is 127.0.0.1; any other name is resolved, as with `dns`.",
     .binding = node_of<&EndpointDraft::address>},
    {.section = S::endpoint, .key = "dns", .type = T::host_and_port,
     .help = "A name that is resolved again and again, and the port. Changes are followed without a reload.",
     .binding = node_of<&EndpointDraft::dns>},
    {.section = S::endpoint, .key = "weight", .type = T::integer, .fallback = "1", .range = {1, 1000},
     .help = "Share of the requests, relative to the other endpoints; of a name: of each of its addresses.",
     .binding = into<&EndpointDraft::spec, &EndpointSpec::weight>},
    {.section = S::endpoint, .key = "zone", .presence = kLater, .help = "Zone of the endpoint."},

    {.section = S::pool, .key = "max_open", .type = T::integer, .fallback = "256", .range = {1, 1'000'000},
     .help = "Connections open at the same time.", .binding = into<&PoolSpec::max_open>},
    {.section = S::pool, .key = "max_idle", .type = T::integer, .fallback = "256", .range = {0, 1'000'000},
     .help = "Connections kept while nobody needs them; 0: none.", .binding = into<&PoolSpec::max_idle>},
    {.section = S::pool, .key = "idle_timeout", .type = T::duration, .fallback = "1m", .range = kTimeout,
     .help = "How long an unused connection is kept. Choose less than the server's own keep-alive timeout.",
     .binding = into<&PoolSpec::idle_timeout>},
    {.section = S::pool, .key = "max_lifetime", .type = T::duration, .fallback = "10m", .range = kOptionalTimeout,
     .help = "Age at which a connection is replaced, give or take 10 %; 0: never.",
     .binding = into<&PoolSpec::max_lifetime>},
    {.section = S::pool, .key = "max_requests", .type = T::integer, .fallback = "0",
     .help = "Requests after which a connection is replaced; 0: any number.",
     .binding = into<&PoolSpec::max_requests>},
    {.section = S::pool, .key = "max_pending", .type = T::integer, .fallback = "1024", .range = {0, 1'000'000},
     .help = "Requests that may wait for a connection; further ones are answered 503.",
     .binding = into<&PoolSpec::max_pending>},
    {.section = S::pool, .key = "pending_timeout", .type = T::duration, .fallback = "1s", .range = kTimeout,
     .help = "How long a request waits for a connection before it is answered 503.",
     .binding = into<&PoolSpec::pending_timeout>},
    {.section = S::pool, .key = "max_streams", .type = T::integer, .fallback = "100", .range = {1, 100'000},
     .help = "HTTP/2: requests at a time on one connection, if the endpoint allows as many.",
     .binding = into<&PoolSpec::max_streams>},

    {.section = S::upstream_timeouts, .key = "connect", .type = T::duration, .fallback = "1s", .range = kTimeout,
     .help = "For a connection to be established.", .binding = into<&ClusterTimeouts::connect>},
    {.section = S::upstream_timeouts, .key = "response_header", .type = T::duration, .fallback = "30s", .range = kTimeout,
     .help = "From the end of the request to the response head.", .binding = into<&ClusterTimeouts::response_header>},
    {.section = S::upstream_timeouts, .key = "idle", .type = T::duration, .fallback = "1m", .range = kTimeout,
     .help = "Between two reads of the response body.", .binding = into<&ClusterTimeouts::idle>},
    {.section = S::upstream_timeouts, .key = "ping", .type = T::duration, .fallback = "10s", .range = kOptionalTimeout,
     .help = "HTTP/2: how long an endpoint with requests may be silent before it is asked for a sign of life (PING), and then how long "
             "until its connection is given up with all that it carries (`upstream_silent`). 0: never. Endpoints of gRPC may take shorter "
             "times for abuse.",
     .binding = into<&ClusterTimeouts::ping>},

    {.section = S::retry, .key = "attempts", .type = T::integer, .fallback = "1", .range = {0, 10},
     .help = "Further attempts after the first; 0: never.", .binding = into<&RetrySpec::attempts>},
    {.section = S::retry, .key = "on", .type = T::retry_on, .shape = kList, .fallback = "[connect]",
     .help = "What counts as failed. `connect`: no connection, or no TLS with it. `reset`: the connection died before any byte of the "
             "response. `timeout`: `per_try` ran out. A number: that status. `grpc_unavailable`, `grpc_cancelled`, `grpc_deadline_exceeded`, "
             "`grpc_resource_exhausted`, `grpc_internal`: a call of gRPC that ended so before it sent anything; it is sent again, though "
             "it is a POST.",
     .binding = by<read_retry_on>},
    {.section = S::retry, .key = "budget", .type = T::share, .fallback = "20%",
     .help = "Share of the last ten seconds' requests that may be retries, so that retries cannot drown a "
             "struggling upstream.",
     .binding = into<&RetrySpec::budget>},
    {.section = S::retry, .key = "per_try", .type = T::duration, .fallback = "0", .range = kOptionalTimeout,
     .help = "Time for each attempt; 0: no such limit.", .binding = into<&RetrySpec::per_try>},

    {.section = S::client_tls, .key = "enabled", .type = T::boolean, .fallback = "true",
     .help = "false: no TLS, as without this section.", .binding = into<&TlsClientDraft::enabled>},
    {.section = S::client_tls, .key = "ca_file", .type = T::file,
     .help = "Certificates of the authorities that are trusted, or of the servers themselves; without it the system's "
             "authorities.",
     .binding = node_of<&TlsClientDraft::ca_file>},
    {.section = S::client_tls, .key = "cert_file", .type = T::file,
     .help = "The certificate that we show, followed by those between it and its authority.",
     .binding = node_of<&TlsClientDraft::cert_file>},
    {.section = S::client_tls, .key = "key_file", .type = T::file,
     .help = "The key of `cert_file`, without a password.", .binding = node_of<&TlsClientDraft::key_file>},
    {.section = S::client_tls, .key = "server_name", .type = T::text,
     .help = "The host name (sent as SNI) or IP address that the servers' certificates must have. Without it the name of each "
             "endpoint, or its IP address if it has none; of a store the host of `address` with `mode: single`, else the IP address of "
             "each server, since sentinels and clusters tell addresses.",
     .binding = into<&TlsClientDraft::spec, &TlsClientSpec::server_name>},
    {.section = S::client_tls, .key = "verify", .type = T::boolean, .fallback = "true",
     .help = "false: any certificate will do, so that whoever is in between can read and change everything. For tests only.",
     .binding = into<&TlsClientDraft::spec, &TlsClientSpec::verify>},

    {.section = S::store, .key = "type", .type = T::choice, .presence = kRequired, .choices = kStoreTypes,
     .help = "What kind of store it is.", .binding = by<read_store_type>},
    {.section = S::store, .key = "max_bytes", .type = T::size, .fallback = "256MiB", .range = {kKiB * kKiB, kTiB},
     .help = "`memory`: most memory that it may take, overhead included. What was used longest ago makes room; one value may "
             "take a thirty-second part of it.",
     .binding = into<&StoreDraft::spec, &StoreSpec::max_bytes>},
    {.section = S::store, .key = "evict", .type = T::boolean, .fallback = "true",
     .help = "`memory`: whether what was used longest ago makes room. With `false` a full store refuses what is new (`store_full`) and "
             "forgets nothing before its time: for idempotency keys.",
     .binding = into<&StoreDraft::spec, &StoreSpec::evict>},
    {.section = S::store, .key = "address", .type = T::address, .shape = kList,
     .help = "`redis`: the server; with `mode: sentinel` the sentinels, with `mode: cluster` some nodes of the cluster.",
     .binding = nodes<&StoreDraft::addresses>},
    {.section = S::store, .key = "mode", .type = T::choice, .fallback = "single", .choices = kRedisModes,
     .help = "`redis`: one server, a master that sentinels know, or a Redis Cluster.",
     .binding = choose<&StoreDraft::spec, &StoreSpec::redis, &RedisSpec::mode>},
    {.section = S::store, .key = "master_name", .type = T::text,
     .help = "`mode: sentinel`: what the sentinels call the master.",
     .binding = into<&StoreDraft::spec, &StoreSpec::redis, &RedisSpec::master_name>},
    {.section = S::store, .key = "db", .type = T::integer, .fallback = "0", .range = {0, 65'535},
     .help = "`redis`: number of the database; a cluster has only 0.",
     .binding = into<&StoreDraft::spec, &StoreSpec::redis, &RedisSpec::db>},
    {.section = S::store, .key = "username", .type = T::text,
     .help = "`redis`: the user (ACL) whose password it is; without it the default user.",
     .binding = into<&StoreDraft::spec, &StoreSpec::redis, &RedisSpec::username>},
    {.section = S::store, .key = "password_file", .type = T::file,
     .help = "`redis`: file that holds the password.", .binding = node_of<&StoreDraft::password_file>},
    {.section = S::store, .key = "connections", .type = T::integer, .fallback = "2", .range = {1, 64},
     .help = "`redis`: connections of each worker, to each server.",
     .binding = into<&StoreDraft::spec, &StoreSpec::redis, &RedisSpec::connections>},
    {.section = S::store, .key = "timeout", .type = T::duration, .fallback = "50ms", .range = {1, 60'000},
     .help = "`redis`: for one operation.", .binding = into<&StoreDraft::spec, &StoreSpec::redis, &RedisSpec::timeout>},
    {.section = S::store, .key = "tls", .child = S::client_tls,
     .help = "`redis`: TLS to the servers; without it bytes go in the clear.", .binding = section<&StoreDraft::tls>},
    {.section = S::store, .key = "required", .type = T::boolean, .fallback = "false",
     .help = "`redis`: what `/readyz` says while the store cannot be reached: with false 200 and that it is degraded, with true "
             "503, so that load balancers send requests elsewhere.",
     .binding = into<&StoreDraft::spec, &StoreSpec::required>},

    {.section = S::route, .key = "name", .type = T::name,
     .help = "Name in logs and metrics. Without it: the path pattern, with ` #2` and so on when several routes have "
             "the same.",
     .binding = node_of<&RouteDraft::name>},
    {.section = S::route, .key = "match", .child = S::match, .presence = kRequired,
     .help = "Which requests the route takes.", .binding = section<&RouteDraft::match>},
    {.section = S::route, .key = "upstream", .type = T::upstream_name,
     .help = "Pass the request to this upstream.", .binding = node_of<&RouteDraft::upstream>},
    {.section = S::route, .key = "split", .shape = kList, .child = S::split,
     .help = "Pass the request to one of several upstreams, by weight.", .binding = sections<&RouteDraft::split>},
    {.section = S::route, .key = "respond", .child = S::respond,
     .help = "Answer without an upstream.", .binding = section<&RouteDraft::respond>},
    {.section = S::route, .key = "redirect", .child = S::redirect,
     .help = "Redirect the client.", .binding = section<&RouteDraft::redirect>},
    {.section = S::route, .key = "static", .child = S::static_files,
     .help = "Serve files.", .binding = section<&RouteDraft::files>},
    {.section = S::route, .key = "rewrite", .child = S::rewrite,
     .help = "Change path and Host for the upstream.", .binding = section<&RouteDraft::rewrite>},
    {.section = S::route, .key = "strip_prefix", .type = T::prefix,
     .help = "Drop this prefix from the path. It must be a literal start of `match.path`; not together with "
             "`rewrite.path`.",
     .binding = node_of<&RouteDraft::strip_prefix>},
    {.section = S::route, .key = "headers", .child = S::headers,
     .help = "Change header fields.", .binding = section<&RouteDraft::headers>},
    {.section = S::route, .key = "timeout", .type = T::duration, .fallback = "0", .range = kOptionalTimeout,
     .help = "For the whole exchange, retries included; 0: no such limit.",
     .binding = into<&RouteDraft::spec, &RouteSpec::timeout>},
    {.section = S::route, .key = "limits", .child = S::route_limits,
     .help = "Limits of this route.", .binding = section<&RouteDraft::spec>},
    {.section = S::route, .key = "plugins", .type = T::plugin_name, .shape = kList, .fallback = "[]",
     .help = "Plugins for requests of this route, in this order; responses pass them in reverse.",
     .binding = nodes<&RouteDraft::plugins>},
    {.section = S::route, .key = "slo", .presence = kLater, .help = "Service level objective."},

    {.section = S::match, .key = "path", .type = T::pattern, .presence = kRequired,
     .help = "Path pattern: literals, `{name}` for one segment, `{name:int}`, `{name:uuid}`, `{name:[a-z]+}` (a "
             "regular expression), `{name...}` for the rest.",
     .binding = node_of<&MatchDraft::path>},
    {.section = S::match, .key = "hosts", .type = T::host, .shape = kList, .fallback = "[]",
     .help = "Hosts without port, `*.example.com` for all below; empty: any host.",
     .binding = list<&MatchDraft::spec, &MatchSpec::hosts>},
    {.section = S::match, .key = "methods", .type = T::method, .shape = kList,
     .help = "Methods; without it all. GET includes HEAD.", .binding = by<read_methods>},
    {.section = S::match, .key = "headers", .type = T::condition, .shape = kMap,
     .help = "Header fields with the value that they must have, or `true` for any value.",
     .binding = by<read_header_conditions>},
    {.section = S::match, .key = "query", .type = T::condition, .shape = kMap,
     .help = "Query parameters with the value that they must have, or `true` for any value.",
     .binding = by<read_query_conditions>},
    {.section = S::match, .key = "claims", .type = T::condition, .shape = kMap,
     .help = "Claims with the value that they must have, or `true` for any value, as a plugin of the listener (jwt) "
             "verified them; a route's own plugins come too late.",
     .binding = by<read_claim_conditions>},

    {.section = S::split, .key = "upstream", .type = T::upstream_name, .presence = kRequired,
     .help = "The upstream.", .binding = node_of<&SplitDraft::upstream>},
    {.section = S::split, .key = "weight", .type = T::integer, .fallback = "1", .range = {0, 1'000'000},
     .help = "Share of the requests, relative to the sum of the weights; 0: none for now.",
     .binding = into<&SplitDraft::spec, &SplitShare::weight>},

    {.section = S::respond, .key = "status", .type = T::integer, .fallback = "200", .range = {200, 599},
     .help = "Status of the answer.", .binding = into<&RespondDraft::spec, &RespondSpec::status>},
    {.section = S::respond, .key = "body", .type = T::text,
     .help = "Body, as it stands here.", .binding = into<&RespondDraft::spec, &RespondSpec::body>},
    {.section = S::respond, .key = "headers", .type = T::text_template, .shape = kMap,
     .help = "Further header fields; `content-type` is `text/plain; charset=utf-8` unless given here.",
     .binding = entries<&RespondDraft::headers>},

    {.section = S::redirect, .key = "to", .type = T::text_template, .presence = kRequired,
     .help = "Value of Location, a template: a URL such as `https://{host}{path}`, or a path.",
     .binding = node_of<&RedirectDraft::to>},
    {.section = S::redirect, .key = "status", .type = T::integer, .fallback = "308", .range = {301, 308},
     .help = "301, 302, 303, 307 or 308.", .binding = into<&RedirectDraft::spec, &RedirectSpec::status>},

    {.section = S::static_files, .key = "root", .type = T::folder, .presence = kRequired,
     .help = "The folder, relative to this file or absolute. Nothing outside of it is served, whatever links say.",
     .binding = node_of<&StaticDraft::root>},
    {.section = S::static_files, .key = "index", .type = T::file_name, .fallback = "index.html",
     .help = "File that is served for a folder.", .binding = into<&StaticDraft::spec, &StaticSpec::index>},

    {.section = S::rewrite, .key = "path", .type = T::text_template,
     .help = "New path, a template that begins with `/` or `{path}`.", .binding = node_of<&RewriteDraft::path>},
    {.section = S::rewrite, .key = "host", .type = T::text_template,
     .help = "New Host, a template.", .binding = node_of<&RewriteDraft::host>},

    {.section = S::headers, .key = "request", .child = S::header_edits,
     .help = "Of the request to the upstream.", .binding = section<&HeadersDraft::request>},
    {.section = S::headers, .key = "response", .child = S::header_edits,
     .help = "Of the response to the client.", .binding = section<&HeadersDraft::response>},

    {.section = S::header_edits, .key = "set", .type = T::text_template, .shape = kMap, .secret = true,
     .help = "Fields to set; replaces all fields of that name.", .binding = entries<&HeaderEditsDraft::set>},
    {.section = S::header_edits, .key = "add", .type = T::text_template, .shape = kMap, .secret = true,
     .help = "Fields to add beside those of that name.", .binding = entries<&HeaderEditsDraft::add>},
    {.section = S::header_edits, .key = "remove", .type = T::header_name, .shape = kList,
     .help = "Fields to remove.", .binding = nodes<&HeaderEditsDraft::remove>},

    {.section = S::route_limits, .key = "body", .type = T::size, .range = {1, kPiB},
     .help = "Largest request body; without it the listener's.", .binding = into<&RouteSpec::body_limit>},

    {.section = S::plugin, .key = "module", .type = T::module_name, .presence = kRequired,
     .help = "The module: `<name>` of the file `sluice_<name>.so` in `process.plugin_dir`.",
     .binding = node_of<&PluginDraft::module>},
    {.section = S::plugin, .key = "config", .type = T::plugin_config, .secret = true,
     .help = "What the module's manual says.", .binding = subtree_of<&PluginDraft::config>},
};
// clang-format on

constexpr ActionRow kRouteActions[] = {{"upstream", snapshot::Action::proxy},
                                       {"split", snapshot::Action::proxy},
                                       {"respond", snapshot::Action::respond},
                                       {"redirect", snapshot::Action::redirect},
                                       {"static", snapshot::Action::static_files}};

constexpr bool sections_in_order() {
  for (size_t i = 0; i < std::size(kSections); ++i) {
    if (static_cast<size_t>(kSections[i].section) != i) return false;
  }
  return std::size(kSections) == static_cast<size_t>(Section::kCount);
}
static_assert(sections_in_order());

// First row of each section, and one past the last.
constexpr auto kBegins = [] {
  std::array<size_t, static_cast<size_t>(Section::kCount) + 1> begins{};
  size_t at = 0;
  for (size_t section = 0; section < begins.size(); ++section) {
    begins[section] = at;
    while (at < std::size(kRows) && static_cast<size_t>(kRows[at].section) == section) ++at;
  }
  return begins;
}();
static_assert(kBegins.back() == std::size(kRows), "rows must stand in the order of Section");

}  // namespace

const SectionRow& row_of(Section section) { return kSections[static_cast<size_t>(section)]; }

std::span<const Row> rows_of(Section section) {
  const auto index = static_cast<size_t>(section);
  return std::span(kRows).subspan(kBegins[index], kBegins[index + 1] - kBegins[index]);
}

const Row* find_row(Section section, std::string_view key) {
  for (const Row& row : rows_of(section)) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

std::span<const ActionRow> route_actions() { return kRouteActions; }

std::string range_text(const Row& row) {
  if (row.range.max == 0) return {};
  const auto show = [&](uint64_t value) {
    if (row.type == Type::duration) return format_duration(Millis(value));
    return row.type == Type::size ? format_size(value) : std::to_string(value);
  };
  return fmt::format("{} to {}{}", show(row.range.min), show(row.range.max), row.range.or_zero ? ", or 0" : "");
}

std::string choices_text(std::span<const Choice> choices) {
  std::string text;
  for (const Choice& choice : choices) {
    if (choice.presence != Presence::later) text += fmt::format("{}{}", text.empty() ? "" : ", ", choice.name);
  }
  const size_t comma = text.rfind(", ");
  return comma == std::string::npos ? text : text.replace(comma, 2, " or ");
}

}  // namespace sluice::control
