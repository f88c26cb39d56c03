#include "proxy/head_composer.h"

#include <algorithm>

#include "base/cgi_name.h"
#include "base/strings.h"
#include "http/parser.h"
#include "http/serializer.h"
#include "proxy/ids.h"

namespace sluice::proxy {

using http::HeaderField;
using http::HeaderId;
using http::HeaderMap;
using http::HeadWriter;

namespace {

constexpr uint64_t bit(HeaderId id) { return uint64_t{1} << static_cast<unsigned>(id); }

// What never goes on as it came, in either direction (RFC 9110 §7.6.1): the gateway makes its own where it has to.
constexpr uint64_t kHopByHop = bit(HeaderId::connection) | bit(HeaderId::keep_alive) | bit(HeaderId::proxy_connection) |
                               bit(HeaderId::te) | bit(HeaderId::transfer_encoding) | bit(HeaderId::upgrade) |
                               bit(HeaderId::http2_settings) | bit(HeaderId::content_length) |
                               bit(HeaderId::proxy_authenticate) | bit(HeaderId::proxy_authorization);
constexpr uint64_t kRemadeForUpstream = kHopByHop | bit(HeaderId::host) | bit(HeaderId::x_forwarded_for) |
                                        bit(HeaderId::x_forwarded_proto) | bit(HeaderId::x_forwarded_host) |
                                        bit(HeaderId::x_request_id) | bit(HeaderId::traceparent);
// RFC 7239. The gateway makes none of its own, and passes on what a trusted proxy says, as it came.
constexpr uint64_t kFromTrustedOnly = bit(HeaderId::forwarded);
constexpr uint64_t kRemadeForClient = kHopByHop;

bool names(const std::vector<std::pair<std::string, snapshot::Template>>& edits, std::string_view name) {
  for (const auto& [edited, value] : edits) {
    if (iequals(edited, name)) return true;
  }
  return false;
}

// True for fields that the route removes or replaces: those that came, and those that the gateway makes itself.
bool is_edited_away(std::string_view name, const snapshot::HeaderEdits& edits) {
  if (edits.empty()) return false;
  for (const std::string& removed : edits.remove) {
    if (iequals(removed, name)) return true;
  }
  return names(edits.set, name);
}

// An upstream may read X_Forwarded_For as X-Forwarded-For, so that a client could say what only we say.
bool reads_like_remade(std::string_view name) {
  constexpr std::string_view kOurs[] = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"};
  return name.find('_') != std::string_view::npos &&
         std::any_of(std::begin(kOurs), std::end(kOurs),
                     [name](std::string_view ours) { return cgi_equals(name, ours); });
}

struct Filter {
  uint64_t remade;  // bit per HeaderId
  const HeaderMap& headers;
  const http::ConnectionOptions& connection;
  const snapshot::HeaderEdits* edits;

  [[nodiscard]] bool keeps(const HeaderField& field) const {
    if (field.id != HeaderId::other && (remade & bit(field.id)) != 0) return false;
    if (field.id == HeaderId::other && (remade & bit(HeaderId::x_forwarded_for)) != 0 &&
        reads_like_remade(field.name)) {
      return false;
    }
    if (connection.names_fields && http::is_hop_by_hop(field, headers, connection)) return false;
    return edits == nullptr || !is_edited_away(field.name, *edits);
  }
};

// The end of a field's line on the wire, behind its CR LF. Only white space can stand between the value and the CR.
const char* line_end(const HeaderField& field) {
  const char* at = field.value.data() + field.value.size();
  while (*at != '\n') ++at;
  return at + 1;
}

// Copies the kept fields; neighbours that are both kept leave in one copy.
void copy_fields(HeadWriter& out, const HeaderMap& headers, const Filter& filter) {
  const char* run_begin = nullptr;
  const char* run_end = nullptr;
  for (const HeaderField& field : headers) {
    if (!filter.keeps(field)) continue;
    if (run_end != field.name.data()) {
      if (run_begin != nullptr) out.text({run_begin, static_cast<size_t>(run_end - run_begin)});
      run_begin = field.name.data();
    }
    run_end = line_end(field);
  }
  if (run_begin != nullptr) out.text({run_begin, static_cast<size_t>(run_end - run_begin)});
}

// The lines of a local answer, less what the route's edits remove or replace.
void copy_local_fields(HeadWriter& out, std::string_view lines, const snapshot::HeaderEdits& edits, Arena& arena) {
  const auto count = static_cast<size_t>(std::count(lines.begin(), lines.end(), '\n'));
  char* block = arena.allocate(lines.size() + 2);
  std::memcpy(block, lines.data(), lines.size());
  std::memcpy(block + lines.size(), "\r\n", 2);
  const auto headers = http::parse_fields({block, lines.size() + 2}, arena.allocate_array<HeaderField>(count));
  SL_ASSERT(headers.has_value());  // the gateway wrote them
  copy_fields(out, *headers, Filter{0, *headers, {}, &edits});
}

// Expands `value` behind what is written; false if it is not a valid field value.
bool write_expanded(HeadWriter& out, std::string_view name, const snapshot::Template& value,
                    const snapshot::Template::Values& values, Arena& arena) {
  constexpr size_t kMaxValue = 8 * 1024;
  char* memory = arena.allocate(kMaxValue);
  const auto length = value.expand(values, {memory, kMaxValue});
  if (!length || !http::is_field_value({memory, *length})) return false;
  out.field(name, std::string_view(memory, *length));
  return true;
}

bool write_edits(HeadWriter& out, const snapshot::HeaderEdits& edits, const Request& request, Arena& arena) {
  const auto values = request.values();
  for (const auto& [name, value] : edits.set) {
    if (!write_expanded(out, name, value, values, arena)) return false;
  }
  for (const auto& [name, value] : edits.add) {
    if (!write_expanded(out, name, value, values, arena)) return false;
  }
  return true;
}

// The path that goes upstream: rewritten, stripped of its prefix, or as it is.
Result<std::string_view> upstream_path(const Request& request, Arena& arena) {
  const snapshot::RouteSpec& route = *request.route;
  const snapshot::RewriteSpec& rewrite = *route.rewrite;
  if (!rewrite.path.empty()) {
    constexpr size_t kMaxPath = 16 * 1024;
    char* memory = arena.allocate(kMaxPath);
    const auto length = rewrite.path.expand(request.values(), {memory, kMaxPath});
    if (!length || *length == 0 || memory[0] != '/') return Reason::bad_template;
    const Result<http::Target> target = http::parse_target({memory, *length}, request.head.method);
    if (!target || target->has_query) return Reason::bad_template;
    return std::string_view(memory, *length);
  }
  return rewrite.strip_prefix.empty() ? request.path : http::without_prefix(request.path, rewrite.strip_prefix);
}

Result<std::string_view> upstream_host(const Request& request, Arena& arena) {
  const snapshot::Template& rewrite = *request.route->rewrite->host;
  if (rewrite.empty()) return request.framing.host;
  constexpr size_t kMaxHost = 512;
  char* memory = arena.allocate(kMaxHost);
  const auto length = rewrite.expand(request.values(), {memory, kMaxHost});
  if (!length || !http::is_valid_authority({memory, *length})) return Reason::bad_template;
  return std::string_view(memory, *length);
}

void write_forwarded_for(HeadWriter& out, const Request& request) {
  out.text("X-Forwarded-For: ");
  if (request.peer_trusted) {
    for (const HeaderField& field : request.head.headers) {
      if (field.id != HeaderId::x_forwarded_for || field.value.empty()) continue;
      out.text(field.value);
      out.text(", ");
    }
  }
  out.text(request.peer);
  out.text("\r\n");
}

// X-Forwarded-* are believed, and added to, only if the peer is trusted; else they are replaced.
void write_forwarded(HeadWriter& out, const Request& request, const snapshot::HeaderEdits& edits) {
  const auto believed = [&](HeaderId id, std::string_view otherwise) {
    const std::string_view value = request.peer_trusted ? request.head.headers.value(id) : std::string_view();
    return value.empty() ? otherwise : value;
  };
  if (!is_edited_away("X-Forwarded-For", edits)) write_forwarded_for(out, request);
  if (!is_edited_away("X-Forwarded-Proto", edits)) {
    out.field("X-Forwarded-Proto",
              believed(HeaderId::x_forwarded_proto, request.agreement == nullptr ? "http" : "https"));
  }
  const std::string_view host = believed(HeaderId::x_forwarded_host, request.framing.host);
  if (!host.empty() && !is_edited_away("X-Forwarded-Host", edits)) out.field("X-Forwarded-Host", host);
}

void write_ids(HeadWriter& out, const Request& request, const snapshot::HeaderEdits& edits, Random& random) {
  if (!is_edited_away("X-Request-Id", edits)) out.field("X-Request-Id", request.id);
  if (is_edited_away("traceparent", edits)) return;
  const std::string_view given = request.head.headers.value(HeaderId::traceparent);
  if (is_valid_traceparent(given)) return out.field("traceparent", given);
  char trace_id[kRequestIdBytes];
  if (!request.id_made) write_request_id(random, trace_id);
  char made[kTraceparentBytes];
  write_traceparent(request.id_made ? request.id : std::string_view(trace_id, sizeof(trace_id)), random, made);
  out.field("traceparent", std::string_view(made, sizeof(made)));
}

void write_request_framing(HeadWriter& out, const Request& request) {
  const http::BodyFraming& body = request.framing.body;
  if (body.kind == http::BodyFraming::Kind::length) out.field("Content-Length", body.length);
  if (body.kind == http::BodyFraming::Kind::chunked) out.text("Transfer-Encoding: chunked\r\n");
  const bool te = request.head.headers.has(HeaderId::te) && http::accepts_trailers(request.head.headers);
  if (request.framing.upgrade) {
    out.text(te ? "Connection: upgrade, te\r\n" : "Connection: upgrade\r\n");
    for (const HeaderField& field : request.head.headers) {
      if (field.id == HeaderId::upgrade) out.field("Upgrade", field.value);
    }
  } else if (te) {
    out.text("Connection: te\r\n");
  }
  if (te) out.text("TE: trailers\r\n");
}

void write_client_framing(HeadWriter& out, const Request& request, const ClientFraming& framing) {
  if (framing.body.kind == http::BodyFraming::Kind::length) out.field("Content-Length", framing.body.length);
  if (framing.body.kind == http::BodyFraming::Kind::chunked) out.text("Transfer-Encoding: chunked\r\n");
  if (request.head.version == http::Version::http2) return;
  if (!framing.keep_alive) {
    out.text("Connection: close\r\n");
  } else if (request.head.version == http::Version::http10) {
    out.text("Connection: keep-alive\r\n");
  }
}

const snapshot::HeaderEdits& response_edits(const Request& request) {
  static const snapshot::HeaderEdits kNone;
  return request.route == nullptr ? kNone : *request.route->response_headers;
}

size_t bytes_of(const HeaderMap& headers) {
  size_t bytes = 0;
  for (const HeaderField& field : headers) bytes += field.name.size() + field.value.size() + 4;
  return bytes;
}

// Runs `write` with memory of growing size until its output fits.
template <typename Write>
Result<std::string_view> compose(Arena& arena, size_t guess, Write&& write) {
  // A head and the bytes read behind it have to fit into a Buffer.
  constexpr size_t kMostBytes = 96 * 1024;
  for (size_t bytes = std::min(guess, kMostBytes);; bytes = std::min(bytes * 4, kMostBytes)) {
    char* memory = arena.allocate(bytes);
    HeadWriter out({memory, bytes});
    if (!write(out)) return Reason::bad_template;
    if (!out.overflowed()) return out.view();
    if (bytes == kMostBytes) return Reason::bad_template;
  }
}

}  // namespace

void ClientFraming::use_unknown_length(http::Version version) {
  const bool chunked = version == http::Version::http11;
  body = {chunked ? http::BodyFraming::Kind::chunked : http::BodyFraming::Kind::until_close, 0};
  if (version == http::Version::http10) keep_alive = false;
}

Result<std::string_view> compose_upstream_head(const Request& request, Arena& arena, Random& random) {
  const Result<std::string_view> path = upstream_path(request, arena);
  if (!path) return path;
  const Result<std::string_view> host = upstream_host(request, arena);
  if (!host) return host;
  const snapshot::HeaderEdits& edits = *request.route->request_headers;
  const uint64_t dropped = kRemadeForUpstream | (request.peer_trusted ? 0 : kFromTrustedOnly);
  const Filter filter{dropped, request.head.headers, request.framing.connection, &edits};
  const size_t guess = path->size() + request.target.query.size() + bytes_of(request.head.headers) + 640;
  return compose(arena, guess, [&](HeadWriter& out) {
    out.request_line(request.head.method_text, *path, request.target.query, request.target.has_query);
    out.field("Host", *host);
    copy_fields(out, request.head.headers, filter);
    write_forwarded(out, request, edits);
    write_ids(out, request, edits, random);
    write_request_framing(out, request);
    if (request.early && !request.head.headers.has(HeaderId::early_data)) out.field("Early-Data", "1");
    const bool ok = edits.empty() || write_edits(out, edits, request, arena);
    out.end();
    return ok;
  });
}

Result<std::string_view> compose_client_head(const Request& request, const http::ResponseHead& head,
                                             const http::ConnectionOptions& connection, const ClientFraming& framing,
                                             std::string_view date, Arena& arena) {
  const snapshot::HeaderEdits& edits = response_edits(request);
  const Filter filter{kRemadeForClient, head.headers, connection, &edits};
  return compose(arena, bytes_of(head.headers) + head.phrase.size() + 256, [&](HeadWriter& out) {
    out.status_line(head.status, head.phrase);
    copy_fields(out, head.headers, filter);
    const bool dated = head.headers.has(HeaderId::date) || head.status == 101;
    if (!dated && !is_edited_away("Date", edits)) out.field("Date", date);
    if (head.status == 101) {
      out.text("Connection: upgrade\r\n");
      for (const HeaderField& field : head.headers) {
        if (field.id == HeaderId::upgrade) out.field("Upgrade", field.value);
      }
    } else {
      write_client_framing(out, request, framing);
    }
    const bool ok = edits.empty() || write_edits(out, edits, request, arena);
    out.end();
    return ok;
  });
}

Result<std::string_view> compose_informational(const http::ResponseHead& head, Arena& arena) {
  const http::ConnectionOptions connection = http::connection_options(head.headers);
  const Filter filter{kRemadeForClient, head.headers, connection, nullptr};
  return compose(arena, bytes_of(head.headers) + head.phrase.size() + 64, [&](HeadWriter& out) {
    out.status_line(head.status, head.phrase);
    copy_fields(out, head.headers, filter);
    out.end();
    return true;
  });
}

std::string_view compose_trailers(const HeaderMap& trailers, Arena& arena) {
  const size_t bytes = bytes_of(trailers) + 2;
  HeadWriter out({arena.allocate(bytes), bytes});
  for (const HeaderField& field : trailers) {
    if (http::allowed_in_trailers(field)) out.field(field.name, field.value);
  }
  out.end();
  return out.view();
}

Result<std::string_view> compose_local_head(const Request& request, uint16_t status, std::string_view field_lines,
                                            const ClientFraming& framing, std::string_view date, Arena& arena) {
  const snapshot::HeaderEdits& edits = response_edits(request);
  return compose(arena, field_lines.size() + 512, [&](HeadWriter& out) {
    out.status_line(status, http::phrase_of(status));
    if (!is_edited_away("Date", edits)) out.field("Date", date);
    if (edits.empty()) {
      out.text(field_lines);
    } else {
      copy_local_fields(out, field_lines, edits, arena);
    }
    write_client_framing(out, request, framing);
    const bool ok = edits.empty() || write_edits(out, edits, request, arena);
    out.end();
    return ok;
  });
}

}  // namespace sluice::proxy
