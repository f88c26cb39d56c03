#include "proxy/request.h"

#include <algorithm>

#include "http/parser.h"
#include "proxy/grpc.h"
#include "proxy/ids.h"
#include "tls/channel.h"

namespace sluice::proxy {

using http::HeaderId;

namespace {

template <typename Text>
std::string_view of_tls(const Request& request, Text tls::Agreement::*member) {
  return request.agreement == nullptr ? std::string_view() : std::string_view(request.agreement->*member);
}

std::string_view variable(const void* owner, snapshot::Variable which) {
  const Request& request = *static_cast<const Request*>(owner);
  switch (which) {
    case snapshot::Variable::host: return request.framing.host;
    case snapshot::Variable::path: return request.path;
    case snapshot::Variable::query: return request.target.query;
    case snapshot::Variable::method: return request.head.method_text;
    case snapshot::Variable::scheme: return request.scheme;
    case snapshot::Variable::client_ip: return request.client;
    case snapshot::Variable::request_id: return request.id;
    case snapshot::Variable::tls_version: return of_tls(request, &tls::Agreement::version);
    case snapshot::Variable::tls_cipher: return of_tls(request, &tls::Agreement::cipher);
    case snapshot::Variable::tls_server_name: return of_tls(request, &tls::Agreement::server_name);
    case snapshot::Variable::tls_client_subject: return of_tls(request, &tls::Agreement::client_subject);
    case snapshot::Variable::tls_client_names: return of_tls(request, &tls::Agreement::client_names);
    case snapshot::Variable::tls_client_fingerprint: return of_tls(request, &tls::Agreement::client_fingerprint);
    case snapshot::Variable::route: return request.route == nullptr ? std::string_view() : request.route->name;
  }
  return {};
}

void choose_id(Request& request, Arena& arena, Random& random) {
  const http::HeaderMap& headers = request.head.headers;
  const std::string_view given = headers.value(HeaderId::x_request_id);
  request.id_made = !is_acceptable_request_id(given) || headers.count(HeaderId::x_request_id) != 1;
  if (!request.id_made) {
    request.id = given;
    return;
  }
  char* made = arena.allocate(kRequestIdBytes);
  write_request_id(random, made);
  request.id = {made, kRequestIdBytes};
}

bool is_trusted(const SocketAddress& address, const std::vector<Network>& trusted) {
  return std::any_of(trusted.begin(), trusted.end(), [&](const Network& network) { return network.contains(address); });
}

// Reads one field's list from its end: moves `client` to the left for as long as the addresses are ours. True if the fields
// before this one may be looked at too.
bool walk_forwarded_for(std::string_view list, const std::vector<Network>& trusted, std::string_view& client) {
  for (size_t end = list.size(), comma = 0; comma != std::string_view::npos; end = comma) {
    comma = end == 0 ? std::string_view::npos : list.rfind(',', end - 1);
    const size_t begin = comma == std::string_view::npos ? 0 : comma + 1;
    const std::string_view entry = trim(list.substr(begin, end - begin));
    if (entry.empty()) continue;  // RFC 9110 §5.6.1.2
    const auto address = SocketAddress::parse_ip(entry);
    if (!address) return false;
    client = entry;
    if (!is_trusted(*address, trusted)) return false;
  }
  return true;
}

// Who sent the request, when a trusted proxy did not send it for itself: the last address in X-Forwarded-For, all fields of
// that name taken as one list, that is not one of ours. Everything to the left of it is hearsay, and so is everything to the
// left of what is not an address.
std::string_view client_of(const Request& request, const std::vector<Network>& trusted) {
  std::string_view client = request.peer;
  if (!request.peer_trusted || !request.head.headers.has(HeaderId::x_forwarded_for)) return client;
  const auto fields = request.head.headers.fields();
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (field->id == HeaderId::x_forwarded_for && !walk_forwarded_for(field->value, trusted, client)) break;
  }
  return client;
}

std::string_view forwarded_scheme(const http::HeaderMap& headers, std::string_view otherwise) {
  const std::string_view given = headers.value(HeaderId::x_forwarded_proto);
  for (const std::string_view scheme : {"http", "https"}) {
    if (iequals(given, scheme)) return scheme;
  }
  return otherwise;
}

}  // namespace

snapshot::Template::Values Request::values() const {
  return {{match.captures.data(), match.capture_count}, variable, this};
}

Result<void> read_request(const http::RequestHead& received, std::string_view bytes,
                          const snapshot::ListenerSpec& listener, const std::vector<Network>& trusted, Arena& arena,
                          Random& random, Request& request) {
  request.client = request.peer;
  request.head = http::copy_head(received, bytes, arena.allocate(bytes.size()),
                                 arena.allocate_array<http::HeaderField>(received.headers.size()));
  const http::RequestHead& head = request.head;
  choose_id(request, arena, random);
  request.is_grpc = head.version == http::Version::http2 && is_grpc(head.headers);
  request.client = client_of(request, trusted);
  if (request.peer_trusted) request.scheme = forwarded_scheme(head.headers, request.scheme);
  if (head.method == http::Method::CONNECT || head.method == http::Method::TRACE) return Reason::bad_method;
  const Result<http::Target> target = http::parse_target(head.target, head.method);
  if (!target) return target.error();
  request.target = *target;
  const Result<http::RequestFraming> framing = http::request_framing(head);
  if (!framing) return framing.error();
  request.framing = *framing;
  request.host = http::host_of(framing->host);
  if (target->asterisk) {
    request.path = target->path;
    return {};
  }
  const Result<std::string_view> path = http::normalise_path(
      target->path, {arena.allocate(target->path.size()), target->path.size()}, listener.allow_encoded_slash);
  if (!path) return path.error();
  request.path = *path;
  return {};
}

Result<void> match_route(const snapshot::Snapshot& snapshot, const snapshot::ClaimSource* claims, Request& request) {
  const snapshot::RouteQuery query{.host = request.host,
                                   .path = request.path,
                                   .query = request.target.query,
                                   .method = request.head.method,
                                   .headers = &request.head.headers,
                                   .claims = claims};
  snapshot.route_table.find(query, request.match);
  switch (request.match.outcome) {
    case snapshot::RouteMatch::Outcome::matched: break;
    case snapshot::RouteMatch::Outcome::no_route: return Reason::no_route;
    case snapshot::RouteMatch::Outcome::method_not_allowed: return Reason::method_not_allowed;
    case snapshot::RouteMatch::Outcome::regex_limit: return Reason::regex_limit;
  }
  request.route = &snapshot.routes[request.match.route];
  return {};
}

}  // namespace sluice::proxy
