#include "http/framing.h"

#include <initializer_list>

#include "base/strings.h"
#include "http/bytes.h"
#include "http/uri.h"

namespace sluice::http {

namespace {

// 19 digits always fit 64 bits; what needs more is no length that anyone means.
constexpr size_t kMaxLengthDigits = 19;

constexpr int kMaxConnectionElements = 64;

constexpr uint64_t id_set(std::initializer_list<HeaderId> ids) {
  uint64_t bits = 0;
  for (const HeaderId id : ids) bits |= HeaderMap::bit_of(id);
  return bits;
}
constexpr bool contains(uint64_t set, HeaderId id) { return (set & HeaderMap::bit_of(id)) != 0; }

constexpr const char* kExcessive = "Connection lists more than 64 options";
constexpr CaselessWord kChunked("chunked");
constexpr CaselessWord kClose("close");
constexpr CaselessWord kContinue("100-continue");
constexpr CaselessWord kKeepAlive("keep-alive");
constexpr CaselessWord kUpgrade("upgrade");

void read_connection_option(std::string_view option, ConnectionOptions& options) {
  if (kKeepAlive == option) {
    options.keep_alive = true;
  } else if (kClose == option) {
    options.close = true;
  } else if (kUpgrade == option) {
    options.upgrade = true;
  } else if (!option.empty()) {
    options.names_fields = true;
  }
}

// Calls `found(element)` for each element of each field with that id, until it returns true; says whether one
// did.
template <typename Found>
bool any_element(const HeaderMap& headers, HeaderId id, Found found) {
  if (!headers.has(id)) return false;
  for (const HeaderField& field : headers) {
    if (field.id != id) continue;
    std::string_view rest = field.value;
    std::string_view element;
    while (next_in_list(rest, element)) {
      if (found(element)) return true;
    }
  }
  return false;
}

// RFC 9112 §9.3. As a gateway we are the client's origin, so an HTTP/1.0 keep-alive is honoured.
bool goes_on(Version version, const ConnectionOptions& options) {
  return !options.close && (version != Version::http10 || options.keep_alive);
}

// Where the body ends if the head says so. Null, or what is wrong: then `reason` tells a length from an
// encoding. The rules are the same for both directions; RFC 9112 §6.3 with every "MAY repair" left out.
const char* read_body(const HeaderMap& headers, Version version, BodyFraming& body, Reason& reason) {
  const bool has_length = headers.has(HeaderId::content_length);
  const bool has_encoding = headers.has(HeaderId::transfer_encoding);
  if (!has_length && !has_encoding) return nullptr;
  reason = Reason::bad_length;
  if (has_length && has_encoding) return "both Content-Length and Transfer-Encoding";
  if (has_length) {
    if (headers.repeated(HeaderId::content_length)) return "more than one Content-Length";
    const std::string_view digits = headers.value(HeaderId::content_length);
    const auto length = parse_u64(digits);
    if (!length || digits.size() > kMaxLengthDigits) return "Content-Length is not a number of at most 19 digits";
    body = {BodyFraming::Kind::length, *length};
    return nullptr;
  }
  reason = Reason::bad_transfer_encoding;
  if (version == Version::http10) return "Transfer-Encoding in HTTP/1.0";
  if (headers.repeated(HeaderId::transfer_encoding)) return "more than one Transfer-Encoding";
  if (kChunked != headers.value(HeaderId::transfer_encoding)) return "Transfer-Encoding is not 'chunked'";
  body = {BodyFraming::Kind::chunked, 0};
  return nullptr;
}

// RFC 9112 §3.2: exactly one Host in HTTP/1.1 whatever the form of the target, and the authority of an
// absolute target wins.
Result<std::string_view> read_host(const RequestHead& head) {
  if (head.headers.repeated(HeaderId::host)) return Error{Reason::bad_host, "more than one Host"};
  std::string_view host;
  if (const HeaderField* field = head.headers.find(HeaderId::host); field != nullptr) {
    host = field->value;
    if (!is_valid_authority(host)) return Error{Reason::bad_host, "Host is no host[:port]"};
  } else if (head.version != Version::http10) {
    return Error{Reason::bad_host, "no Host"};
  }
  if (head.target.starts_with('/') || head.target == "*") return host;
  const Result<Target> target = parse_target(head.target, head.method);
  if (!target) return target.error();
  return target->authority;
}

// h2c would let a client speak HTTP/2 past us to an upstream that agrees; RFC 9113 §3.1 has withdrawn it.
// Such an Upgrade is ignored, as RFC 9110 §7.8 allows.
bool is_http(std::string_view protocol) {
  return iequals(protocol, "h2c") || iequals(protocol.substr(0, 2), "h2") || iequals(protocol.substr(0, 4), "http");
}

// Null, or what is wrong.
const char* read_upgrade(const RequestHead& head, RequestFraming& framing) {
  if (!head.headers.has(HeaderId::upgrade) || head.version == Version::http10) return nullptr;
  if (any_element(head.headers, HeaderId::upgrade, is_http)) return nullptr;
  const auto named = [](std::string_view protocol) { return !protocol.empty(); };
  if (!any_element(head.headers, HeaderId::upgrade, named)) return "Upgrade is empty";
  if (!framing.body.empty()) return "Upgrade with a body";
  framing.upgrade = true;
  return nullptr;
}

}  // namespace

ConnectionOptions connection_options(const HeaderMap& headers) {
  ConnectionOptions options;
  if (!headers.has(HeaderId::connection)) return options;
  const std::string_view first = headers.value(HeaderId::connection);
  if (!headers.repeated(HeaderId::connection) && (kKeepAlive == first || kClose == first)) {
    read_connection_option(first, options);  // nearly always
    return options;
  }
  int count = 0;
  options.excessive = any_element(headers, HeaderId::connection, [&](std::string_view option) {
    read_connection_option(option, options);
    return ++count > kMaxConnectionElements;
  });
  return options;
}

Result<RequestFraming> request_framing(const RequestHead& head) {
  RequestFraming framing;
  const Result<std::string_view> host = read_host(head);
  if (!host) return host.error();
  framing.host = *host;

  Reason reason{};
  if (const char* wrong = read_body(head.headers, head.version, framing.body, reason)) return Error{reason, wrong};
  framing.connection = connection_options(head.headers);
  if (framing.connection.excessive) return Error{Reason::bad_header, kExcessive};
  framing.keep_alive = goes_on(head.version, framing.connection);
  if (framing.connection.upgrade) {
    if (const char* wrong = read_upgrade(head, framing)) return Error{Reason::bad_upgrade, wrong};
  }
  if (head.headers.has(HeaderId::expect) && head.version != Version::http10) {
    const bool known = !head.headers.repeated(HeaderId::expect) && kContinue == head.headers.value(HeaderId::expect);
    if (!known) return Error{Reason::expectation_failed, "Expect is not '100-continue'"};
    framing.expects_continue = true;
  }
  return framing;
}

Result<ResponseFraming> response_framing(const ResponseHead& head, Method request_method) {
  ResponseFraming framing;
  Reason ignored{};
  if (const char* wrong = read_body(head.headers, head.version, framing.body, ignored)) {
    return Error{Reason::upstream_bad_response, wrong};
  }
  framing.connection = connection_options(head.headers);
  if (framing.connection.excessive) return Error{Reason::upstream_bad_response, kExcessive};
  framing.keep_alive = goes_on(head.version, framing.connection);

  if (head.status == 101 && !(framing.connection.upgrade && head.headers.has(HeaderId::upgrade))) {
    return Error{Reason::upstream_bad_response, "101 without Upgrade and Connection: upgrade"};
  }
  const bool interim_or_empty = head.status < 200 || head.status == 204;
  if (interim_or_empty || head.status == 304 || request_method == Method::HEAD) {
    // An upstream that announces a body where none may be (RFC 9110 §8.6) might send it too, and it would
    // then be taken for the next answer: do not use that connection again.
    if (interim_or_empty && !framing.body.empty()) framing.keep_alive = false;
    framing.body = {};
  } else if (framing.body.kind == BodyFraming::Kind::none) {
    framing.body.kind = BodyFraming::Kind::until_close;
    framing.keep_alive = false;
  }
  return framing;
}

bool is_hop_by_hop(const HeaderField& field, const HeaderMap& headers, const ConnectionOptions& options) {
  using enum HeaderId;
  constexpr uint64_t kAlways = id_set({connection, keep_alive, proxy_connection, te, transfer_encoding, upgrade,
                                       http2_settings, proxy_authorization, proxy_authenticate});
  // Without these the message would mean something else to whoever reads it next, so Connection cannot take
  // them away.
  constexpr uint64_t kNever = id_set({host, content_length, early_data});
  if (contains(kAlways, field.id)) return true;
  if (!options.names_fields || contains(kNever, field.id)) return false;
  return any_element(headers, connection, [&](std::string_view element) { return iequals(element, field.name); });
}

bool accepts_trailers(const HeaderMap& headers) {
  return any_element(headers, HeaderId::te, [](std::string_view element) { return iequals(element, "trailers"); });
}

bool allowed_in_trailers(const HeaderField& field) {
  using enum HeaderId;
  constexpr uint64_t kKnown = id_set({host,
                                      connection,
                                      content_length,
                                      transfer_encoding,
                                      keep_alive,
                                      te,
                                      trailer,
                                      upgrade,
                                      expect,
                                      via,
                                      proxy_connection,
                                      proxy_authenticate,
                                      proxy_authorization,
                                      forwarded,
                                      x_forwarded_for,
                                      x_forwarded_proto,
                                      x_forwarded_host,
                                      x_request_id,
                                      traceparent,
                                      tracestate,
                                      date,
                                      content_type,
                                      accept_encoding,
                                      range,
                                      if_range,
                                      if_match,
                                      if_none_match,
                                      if_modified_since,
                                      if_unmodified_since,
                                      cookie,
                                      authorization,
                                      http2_settings,
                                      early_data});
  constexpr std::string_view kOthers[] = {
      "age",          "cache-control",    "content-encoding", "content-range", "expires", "location",
      "max-forwards", "pragma",           "retry-after",      "set-cookie",    "vary",    "warning",
      "status",       "www-authenticate", "content-location", "accept-ranges"};
  if (field.id != other) return !contains(kKnown, field.id);
  for (const std::string_view name : kOthers) {
    if (iequals(field.name, name)) return false;
  }
  return true;
}

}  // namespace sluice::http
