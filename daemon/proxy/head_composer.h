// Composes the heads that the gateway sends: the request's head for the upstream and the response's head for the client.
// Fields that go on unchanged are copied in runs of whole lines as they stood on the wire; hop-by-hop fields fall out, and
// what the gateway itself says (framing, X-Forwarded-*, ids, the route's edits) is added. Memory comes from the
// exchange's arena. RFC 9110 §7.6, RFC 9112 §6.
#pragma once

#include "base/arena.h"
#include "http/framing.h"
#include "http/message.h"
#include "proxy/request.h"
#include "snapshot/spec.h"

namespace sluice::proxy {

/// The head that goes upstream. Errors: bad_template (a template of the route made an invalid path or value).
Result<std::string_view> compose_upstream_head(const Request& request, Arena& arena, Random& random);

/// How a response goes to the client; decided from both sides' heads.
struct ClientFraming {
  http::BodyFraming body;  // kind chunked: the gateway puts the chunked coding on
  bool keep_alive = true;

  /// Nobody knows how long the body will be: HTTP/1.1 has chunks for it, and a stream of HTTP/2 its end; for HTTP/1.0 only the
  /// connection's end can end it.
  void use_unknown_length(http::Version version);
  [[nodiscard]] bool may_have_trailers(http::Version version) const {
    return body.kind == http::BodyFraming::Kind::chunked || version == http::Version::http2;
  }
};

/// The head that goes to the client: the final one, or a 101. `date` is used if the upstream sent none.
Result<std::string_view> compose_client_head(const Request& request, const http::ResponseHead& head,
                                             const http::ConnectionOptions& connection, const ClientFraming& framing,
                                             std::string_view date, Arena& arena);

/// A 1xx head as it goes on to the client.
Result<std::string_view> compose_informational(const http::ResponseHead& head, Arena& arena);

/// The trailer section for the chunked coding's end: the fields that may stand there, and the final empty line.
std::string_view compose_trailers(const http::HeaderMap& trailers, Arena& arena);

/// The head of an answer that the gateway itself makes. `field_lines` are its own fields, each line with its CR LF; the
/// route's response edits apply to them too. `framing.body` is of kind length, or none.
Result<std::string_view> compose_local_head(const Request& request, uint16_t status, std::string_view field_lines,
                                            const ClientFraming& framing, std::string_view date, Arena& arena);

}  // namespace sluice::proxy
