// Every way in which the gateway refuses, fails or ends something has one Reason: the code a user finds in the
// problem+json body, in the access log and as a label in /metrics. One row each; add a row and it is everywhere.
// Columns: name, HTTP status the client gets (0: no answer is possible or none is due), side at fault,
// whether another attempt may help, and a sentence that tells the user what happened and what to do.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

enum class Side : uint8_t { none, downstream, upstream, internal, config };

/// May the exchange be tried again at another connection? if_reused: only if the connection came from the pool.
enum class RetryHint : uint8_t { no, if_reused, yes };

// clang-format off
#define SL_REASONS(X) \
  X(none,                     0,   none,       no,        "No error.") \
  /* the request's head */ \
  X(bad_request_line,         400, downstream, no,        "The request line is not METHOD SP TARGET SP HTTP/1.x.") \
  X(bad_method,               501, downstream, no,        "The method is not known here.") \
  X(bad_version,              505, downstream, no,        "The request is in none of HTTP/1.0, HTTP/1.1 and, where listeners.<name>.http2 is on, HTTP/2.") \
  X(bad_target,               400, downstream, no,        "The request target is not a valid path or URL.") \
  X(bad_path,                 400, downstream, no,        "The path holds an encoded slash, backslash, NUL, or climbs above the root.") \
  X(bad_line_end,             400, downstream, no,        "A line of the head does not end in CR LF, or holds a control character.") \
  X(bad_header,               400, downstream, no,        "A header field is malformed: bad name, white space before the colon, or a folded line.") \
  X(bad_host,                 400, downstream, no,        "The Host header is missing, repeated or malformed.") \
  X(bad_length,               400, downstream, no,        "Content-Length is repeated, not a number, or stands beside Transfer-Encoding.") \
  X(bad_transfer_encoding,    400, downstream, no,        "Transfer-Encoding must be a single final 'chunked' in HTTP/1.1.") \
  X(bad_chunk,                400, downstream, no,        "The chunked body is malformed.") \
  X(bad_upgrade,              400, downstream, no,        "An upgrade request must not have a body and must name the protocol.") \
  X(request_line_too_long,    414, downstream, no,        "The request line is longer than limits.request_line.") \
  X(header_too_large,         431, downstream, no,        "The request head is larger than limits.header_bytes.") \
  X(too_many_headers,         431, downstream, no,        "The request has more header fields than limits.headers.") \
  X(body_too_large,           413, downstream, no,        "The request body is larger than limits.body.") \
  X(expectation_failed,       417, downstream, no,        "Only 'Expect: 100-continue' is understood.") \
  X(request_header_timeout,   408, downstream, no,        "The request head did not arrive within timeouts.request_header.") \
  X(request_body_timeout,     408, downstream, no,        "The request body stalled for longer than timeouts.request_body.") \
  /* what a load balancer says first */ \
  X(proxy_protocol_missing,   400, downstream, no,        "Who connected is in listeners.<name>.proxy_protocol, but did not begin with a PROXY protocol header.") \
  X(proxy_protocol_bad,       0,   downstream, no,        "The PROXY protocol header is malformed, longer than 4 KiB, or its checksum is wrong.") \
  X(proxy_protocol_timeout,   0,   downstream, no,        "The PROXY protocol header did not arrive within timeouts.request_header.") \
  /* the client's TLS handshake; a connection without a request has no answer */ \
  X(tls_handshake_timeout,    0,   downstream, no,        "The TLS handshake took longer than timeouts.tls_handshake.") \
  X(tls_closed,               0,   downstream, no,        "The client went away in the middle of the TLS handshake.") \
  X(tls_not_tls,              400, downstream, no,        "What came first was not TLS: this listener speaks HTTPS only.") \
  X(tls_version,              0,   downstream, no,        "The client speaks no version of TLS that tls.min_version and tls.max_version allow.") \
  X(tls_no_cipher,            0,   downstream, no,        "The client and this listener have no cipher, key or signature algorithm in common.") \
  X(tls_client_certificate_missing, 0, downstream, no,    "The client gave no certificate, and tls.client_certificate is required.") \
  X(tls_client_certificate_refused, 0, downstream, no,    "The client's certificate was not made by one of tls.client_ca_file, or is over.") \
  X(tls_distrusted,           0,   downstream, no,        "The client does not accept our certificate: its CA, its dates or its name.") \
  X(tls_failed,               0,   downstream, no,        "The client's TLS handshake failed in another way, such as no common protocol (ALPN).") \
  X(too_early,                425, downstream, no,        "The request came as TLS early data, which may be a repetition by somebody else: only GET, HEAD and OPTIONS without a body are served then.") \
  /* HTTP/2 with clients */ \
  X(http2_error,              0,   downstream, no,        "The client broke a rule of HTTP/2 (RFC 9113); RST_STREAM or GOAWAY tells it which.") \
  X(http2_flood,              0,   downstream, no,        "The client sent more resets, pings, settings or empty frames than anyone needs; GOAWAY told it so.") \
  X(http2_reset,              499, downstream, no,        "The client took its request back (RST_STREAM) before the answer was complete.") \
  /* routing and local answers */ \
  X(no_route,                 404, downstream, no,        "No route matches this host and path; 'sluice explain' shows why.") \
  X(method_not_allowed,       405, downstream, no,        "A route matches the path, but not this method; see the Allow header.") \
  X(file_not_found,           404, downstream, no,        "The file does not exist below this route's static root.") \
  X(file_forbidden,           403, downstream, no,        "The file may not be served: not a regular file, unreadable, or outside the root.") \
  X(range_not_satisfiable,    416, downstream, no,        "The requested range lies outside the file.") \
  X(bad_template,             500, config,     no,        "The route's template produced an invalid path or header value for this request.") \
  X(regex_limit,              500, config,     no,        "A route's regular expression exceeded its match limit on this path.") \
  /* finding and reaching an upstream */ \
  X(no_endpoint,              503, upstream,   no,        "The upstream has no endpoint that can be used.") \
  X(upstream_unresolved,      503, upstream,   no,        "The names of the upstream's endpoints were never resolved; /upstreams at the admin shows what DNS says.") \
  X(pool_queue_full,          503, upstream,   no,        "pool.max_pending requests already wait for a connection to this endpoint.") \
  X(pool_wait_timeout,        503, upstream,   no,        "No connection became free within pool.pending_timeout.") \
  X(connect_failed,           502, upstream,   yes,       "The endpoint refused the connection or cannot be reached.") \
  X(connect_timeout,          504, upstream,   yes,       "The endpoint did not accept a connection within timeouts.connect.") \
  X(tls_handshake_failed,     502, upstream,   yes,       "TLS with the endpoint could not be agreed on: its certificate, ours, or what it speaks.") \
  X(upstream_reset,           502, upstream,   if_reused, "The endpoint closed or reset the connection before it answered.") \
  X(upstream_timeout,         504, upstream,   no,        "The endpoint sent no response head within timeouts.response_header.") \
  X(upstream_silent,          502, upstream,   if_reused, "The endpoint's connection of HTTP/2 was silent for timeouts.ping, and then no PING was answered for as long.") \
  X(upstream_try_timeout,     504, upstream,   yes,       "The endpoint did not answer within retry.per_try.") \
  X(route_timeout,            504, upstream,   no,        "The exchange took longer than the route's timeout.") \
  X(upstream_bad_response,    502, upstream,   no,        "The endpoint's response head is not valid HTTP/1.x.") \
  X(upstream_head_too_large,  502, upstream,   no,        "The endpoint's response head is larger than the gateway accepts.") \
  X(upstream_bad_body,        502, upstream,   no,        "The endpoint's chunked body is malformed.") \
  X(upstream_body_too_large,  502, upstream,   no,        "An endpoint answered a plugin with more than the plugin takes.") \
  X(upstream_http2_error,     502, upstream,   no,        "The endpoint broke a rule of HTTP/2 (RFC 9113), or does not speak it.") \
  X(upstream_refused,         503, upstream,   yes,       "HTTP/2: the endpoint did not process the request, for it said so (REFUSED_STREAM, GOAWAY) or its connection broke before the request was sent; and so it went at the next one.") \
  X(upstream_no_upgrade,      501, config,     no,        "The request asks for an upgrade, and its upstream speaks HTTP/2 and takes none; it may take WebSocket (RFC 8441).") \
  X(upstream_truncated,       0,   upstream,   no,        "The endpoint closed before its response body was complete; the client sees an aborted body.") \
  X(upstream_idle_timeout,    0,   upstream,   no,        "The endpoint's response body stalled for longer than timeouts.idle.") \
  /* the client went away, or was too slow */ \
  X(client_closed,            499, downstream, no,        "The client closed the connection before the answer was complete.") \
  X(client_write_timeout,     0,   downstream, no,        "The client did not read its answer for longer than timeouts.write.") \
  /* ends of connections that are no one's fault */ \
  X(keepalive_done,           0,   none,       no,        "The connection was closed after its last answer, as asked by a side or by HTTP/1.0.") \
  X(idle_timeout,             0,   none,       no,        "The connection was idle for longer than timeouts.idle.") \
  X(drained,                  0,   none,       no,        "The connection was asked to end: the gateway drains, or its listener was removed.") \
  X(requests_limit,           0,   none,       no,        "The connection served limits.requests_per_connection requests.") \
  X(tunnel_done,              0,   none,       no,        "The tunnel ended: both sides closed.") \
  X(tunnel_idle,              0,   none,       no,        "The tunnel was silent for longer than timeouts.tunnel.") \
  X(pool_idle,                0,   none,       no,        "A pooled connection was idle for longer than pool.idle_timeout.") \
  X(pool_lifetime,            0,   none,       no,        "A pooled connection reached pool.max_lifetime or pool.max_requests.") \
  X(pool_surplus,             0,   none,       no,        "The pool already holds pool.max_idle idle connections, or its endpoint was removed.") \
  X(upstream_closed_idle,     0,   upstream,   no,        "The endpoint closed a pooled connection while it was idle.") \
  /* plugins */ \
  X(plugin_response,          0,   none,       no,        "A plugin answered instead of the route; its own code stands in the log.") \
  X(plugin_failed,            500, internal,   no,        "A plugin did not keep to its interface; the log says which one, and what it did.") \
  X(plugin_timeout,           504, internal,   no,        "A plugin held the request back for more than a minute; the log says which one.") \
  /* stores */ \
  X(store_unavailable,        503, internal,   no,        "The store cannot be reached, so the operation was not carried out.") \
  X(store_timeout,            503, internal,   no,        "The store did not answer within stores.<name>.timeout; whether it carried the operation out is unknown.") \
  X(store_lost,               503, internal,   no,        "The connection to the store was lost before it answered; whether the operation was carried out is unknown.") \
  X(store_refused,            503, internal,   no,        "The store answered with an error; the log says which.") \
  X(store_full,               503, internal,   no,        "The store has no room: stores.<name>.max_bytes is taken, or too many operations wait already.") \
  /* the gateway itself */ \
  X(too_many_connections,     503, internal,   no,        "process.max_connections is reached; the connection was refused.") \
  X(out_of_descriptors,       503, internal,   no,        "The process has no file descriptor left; raise LimitNOFILE.") \
  X(shutting_down,            503, internal,   no,        "The gateway is shutting down.") \
  X(internal_error,           500, internal,   no,        "The gateway failed in a way that it did not expect; please report this.")
// clang-format on

enum class Reason : uint8_t {
#define SL_ROW(name, ...) name,
  SL_REASONS(SL_ROW)
#undef SL_ROW
      kCount
};

struct ReasonRow {
  std::string_view name;
  uint16_t status;
  Side side;
  RetryHint retry;
  std::string_view text;
};

/// The row of a reason; static storage.
const ReasonRow& row(Reason reason);
inline std::string_view name(Reason reason) { return row(reason).name; }

std::string_view name(Side side);

}  // namespace sluice
