// Request: what is known of a request once its head is complete: the parsed head, how its body is framed, where it wants to
// go, who sent it, and which route won. Everything is a view into the exchange's arena, so it is valid as long as the
// exchange lives.
#pragma once

#include "base/arena.h"
#include "base/random.h"
#include "base/strings.h"
#include "http/framing.h"
#include "http/message.h"
#include "http/uri.h"
#include "snapshot/snapshot.h"

namespace sluice::tls {
struct Agreement;
}

namespace sluice::proxy {

struct Request {
  http::RequestHead head;
  http::RequestFraming framing;
  http::Target target;
  std::string_view path;    // normalised: what routing saw and upstream gets
  std::string_view host;    // without port, as the client wrote it
  std::string_view id;      // X-Request-Id
  bool id_made = false;     // by the gateway; then it is a trace id too
  std::string_view peer;    // the address of the connection's other end
  std::string_view client;  // who the request is from: the peer, or what a trusted peer says
  bool peer_trusted = false;
  std::string_view scheme = "http";           // of the connection, or what a trusted peer says
  const tls::Agreement* agreement = nullptr;  // of the connection; nullptr: bytes go in the clear
  bool early = false;                         // it came as TLS early data, or a part of its head did
  bool is_grpc = false;
  const snapshot::RouteSpec* route = nullptr;
  snapshot::RouteMatch match;

  /// For templates: captures and built-in variables.
  [[nodiscard]] snapshot::Template::Values values() const;
};

/// Copies the head `received`, whose views lie in `bytes`, into the arena and reads it into `request`; `request.peer` and `peer_trusted` are set already.
/// On an error as much is filled in as could be read, for the log. Does not match a route.
Result<void> read_request(const http::RequestHead& received, std::string_view bytes,
                          const snapshot::ListenerSpec& listener, const std::vector<Network>& trusted, Arena& arena,
                          Random& random, Request& request);

/// Finds the route: sets request.route and .match. Errors: no_route, method_not_allowed (match.allowed is set), regex_limit.
Result<void> match_route(const snapshot::Snapshot& snapshot, const snapshot::ClaimSource* claims, Request& request);

}  // namespace sluice::proxy
