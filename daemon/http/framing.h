// What a head means for the bytes around it: where the body ends, whether the connection goes on, which fields are
// hop-by-hop. RFC 9112 §6 and §9, RFC 9110 §7.6.1. All the rules that keep us and an upstream from disagreeing about
// message boundaries (request smuggling) are here and in parser.h, and nowhere else.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace sluice::http {

struct BodyFraming {
  enum class Kind : uint8_t {
    none,         // no body
    length,       // exactly `length` bytes (may be 0)
    chunked,      // until the last chunk and the trailer section
    until_close,  // responses, and both ways of a tunnel: until the peer closes
  };
  Kind kind = Kind::none;
  uint64_t length = 0;

  [[nodiscard]] bool empty() const { return kind == Kind::none || (kind == Kind::length && length == 0); }
};

/// What Connection lists (RFC 9110 §7.6.1), beside the names to drop.
struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool names_fields = false;  // it lists at least one other field name, to be dropped by is_hop_by_hop
  /// More elements than anyone means: each would be compared with each field, 30 ms of work for one head of 32 KiB. The framing
  /// functions refuse it.
  bool excessive = false;
};
ConnectionOptions connection_options(const HeaderMap& headers);

/// Everything the proxy needs to know of a request head beyond its routing.
struct RequestFraming {
  BodyFraming body;
  ConnectionOptions connection;
  std::string_view host;          // Host's value, or the authority of an absolute-form target; may be empty in HTTP/1.0
  bool keep_alive = true;         // the client wants the connection to go on
  bool expects_continue = false;  // Expect: 100-continue (HTTP/1.1 only)
  bool upgrade = false;  // asks for another protocol: Connection: upgrade and Upgrade are both there. Never HTTP
                         // itself (h2c): a tunnel of it would go past every route
};
/// Errors: bad_host, bad_target (absolute form only), bad_length, bad_transfer_encoding, expectation_failed, bad_upgrade,
/// bad_header (an excessive Connection).
/// Host: exactly one in 1.1, syntactically valid (RFC 9110 §7.2, RFC 3986 §3.2.2; no userinfo); an empty one is refused.
/// An absolute-form target overrides Host (RFC 9112 §3.2.2). Transfer-Encoding in HTTP/1.0 is refused.
Result<RequestFraming> request_framing(const RequestHead& head);

struct ResponseFraming {
  BodyFraming body;
  ConnectionOptions connection;
  bool keep_alive = true;  // the upstream connection can be used again after this body
};
/// Errors: upstream_bad_response. Handles HEAD, 1xx, 204, 304 and 101 (body none). A 101 always has connection.upgrade and an
/// Upgrade field. A 1xx or 204 that announces a body has none, and its connection is not used again.
Result<ResponseFraming> response_framing(const ResponseHead& head, Method request_method);

/// True if a proxy must not pass the field on: Connection, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade,
/// HTTP2-Settings, Proxy-Authorization, Proxy-Authenticate, and what Connection names (`options` spares the look-up).
/// `Trailer` and `TE: trailers` are re-made by the serializer where they apply. Host, Content-Length and Early-Data (RFC 8470 §5.1) stay
/// even if Connection names them: without them the next reader would take the message for another one.
bool is_hop_by_hop(const HeaderField& field, const HeaderMap& headers, const ConnectionOptions& options);

/// True if TE lists `trailers` (RFC 9110 §10.1.4).
bool accepts_trailers(const HeaderMap& headers);
/// True if a field may stand in a trailer section (RFC 9110 §6.5.1): not framing, routing, auth or content fields.
bool allowed_in_trailers(const HeaderField& field);

}  // namespace sluice::http
