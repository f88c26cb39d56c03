// The parts of an HTTP/1.x message head as views: nothing here owns bytes. A head is parsed once, out of memory that its
// exchange (request) or the read callback (response) keeps alive; every view below points into that memory.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/strings.h"

namespace sluice {
class Arena;
}

namespace sluice::http {

// Methods that routes can name and that are forwarded. Anything else is 501 (bad_method). RFC 9110 §9, WebDAV (RFC 4918),
// RFC 5789 (PATCH), RFC 3253 (REPORT), RFC 5323 (SEARCH). CONNECT and TRACE are known, so that they can be refused by name.
// clang-format off
#define SL_METHODS(X)                                                                                              \
  X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(CONNECT) X(OPTIONS) X(TRACE) X(PATCH) X(PROPFIND) X(PROPPATCH) X(MKCOL) \
  X(COPY) X(MOVE) X(LOCK) X(UNLOCK) X(REPORT) X(SEARCH) X(PURGE) X(QUERY)
// clang-format on

enum class Method : uint8_t {
#define SL_ROW(name) name,
  SL_METHODS(SL_ROW)
#undef SL_ROW
      unknown
};

using MethodSet = uint32_t;  // bit per Method
constexpr MethodSet method_bit(Method method) { return MethodSet{1} << static_cast<unsigned>(method); }
constexpr MethodSet kAllMethods = method_bit(Method::unknown) - 1;

Method method_from(std::string_view text);  // case-sensitive, RFC 9110 §9.1
std::string_view name(Method method);
/// RFC 9110 §9.2.1 / §9.2.2.
bool is_safe(Method method);
bool is_idempotent(Method method);

enum class Version : uint8_t { http10, http11, http2 };
/// "HTTP/1.1"
std::string_view name(Version version);

// Header fields that the gateway itself looks at, in lower case. All others have the id `other`.
// clang-format off
#define SL_HEADERS(X)                                                                                             \
  X(host, "host") X(connection, "connection") X(content_length, "content-length")                                 \
  X(transfer_encoding, "transfer-encoding") X(keep_alive, "keep-alive") X(te, "te") X(trailer, "trailer")         \
  X(upgrade, "upgrade") X(expect, "expect") X(via, "via") X(proxy_connection, "proxy-connection")                 \
  X(proxy_authenticate, "proxy-authenticate") X(proxy_authorization, "proxy-authorization")                       \
  X(forwarded, "forwarded") X(x_forwarded_for, "x-forwarded-for") X(x_forwarded_proto, "x-forwarded-proto")       \
  X(x_forwarded_host, "x-forwarded-host") X(x_request_id, "x-request-id") X(traceparent, "traceparent")           \
  X(tracestate, "tracestate") X(date, "date") X(server, "server") X(content_type, "content-type")                 \
  X(accept_encoding, "accept-encoding") X(user_agent, "user-agent") X(referer, "referer") X(range, "range")       \
  X(if_range, "if-range") X(if_match, "if-match") X(if_none_match, "if-none-match")                               \
  X(if_modified_since, "if-modified-since") X(if_unmodified_since, "if-unmodified-since") X(cookie, "cookie")     \
  X(authorization, "authorization") X(http2_settings, "http2-settings") X(early_data, "early-data")
// clang-format on

enum class HeaderId : uint8_t {
#define SL_ROW(name, text) name,
  SL_HEADERS(SL_ROW)
#undef SL_ROW
      other
};
static_assert(static_cast<unsigned>(HeaderId::other) < 64, "HeaderMap keeps a bit per id");

HeaderId header_id(std::string_view name);  // any case

struct HeaderField {
  std::string_view name;   // as received
  std::string_view value;  // without surrounding white space
  HeaderId id = HeaderId::other;

  /// Has that name (any case), whose id is known.
  [[nodiscard]] bool is(std::string_view its_name, HeaderId its_id) const {
    return id == its_id && (id != HeaderId::other || iequals(name, its_name));
  }
};

/// The fields of one head in the order received. A view: copying it copies no field.
class HeaderMap {
 public:
  HeaderMap() = default;
  explicit HeaderMap(std::span<HeaderField> fields);
  /// For a parser that noted on its way which ids it met once (`present`) and again (`repeated`).
  HeaderMap(std::span<HeaderField> fields, uint64_t present, uint64_t repeated)
      : fields_(fields), present_(present), repeated_(repeated) {}
  /// The same map over copies of the same fields.
  [[nodiscard]] HeaderMap with_fields(std::span<HeaderField> copies) const { return {copies, present_, repeated_}; }
  static constexpr uint64_t bit_of(HeaderId id) { return uint64_t{1} << static_cast<unsigned>(id); }

  [[nodiscard]] bool has(HeaderId id) const { return (present_ & bit_of(id)) != 0; }
  /// True if more than one field has that id.
  [[nodiscard]] bool repeated(HeaderId id) const { return (repeated_ & bit_of(id)) != 0; }
  /// The first field with that id or name (any case); nullptr if there is none.
  [[nodiscard]] const HeaderField* find(HeaderId id) const;
  [[nodiscard]] const HeaderField* find(std::string_view name) const { return find(name, header_id(name)); }
  /// Likewise, if the name's id is known.
  [[nodiscard]] const HeaderField* find(std::string_view name, HeaderId id) const;
  /// Value of find(), or an empty view.
  [[nodiscard]] std::string_view value(HeaderId id) const;
  [[nodiscard]] size_t count(HeaderId id) const;

  // For whoever owns the array that this is a view of; of several copies only one may be changed.
  /// Takes the fields of that name (any case) out of it.
  void remove(std::string_view name) { remove(name, header_id(name)); }
  void remove(std::string_view name, HeaderId id);
  /// Adds a field at the end, in a new array that is a little larger if there is no room.
  void append(const HeaderField& field, Arena& arena);

  [[nodiscard]] std::span<const HeaderField> fields() const { return fields_; }
  [[nodiscard]] auto begin() const { return fields().begin(); }
  [[nodiscard]] auto end() const { return fields().end(); }
  [[nodiscard]] size_t size() const { return fields_.size(); }

 private:
  std::span<HeaderField> fields_;
  uint64_t present_ = 0;   // bit per HeaderId
  uint64_t repeated_ = 0;  // likewise: met more than once
  size_t room_ = 0;        // behind fields_, made by append()
};

struct RequestHead {
  Method method = Method::unknown;
  Version version = Version::http11;
  std::string_view method_text;
  std::string_view target;  // as on the wire
  HeaderMap headers;
};

struct ResponseHead {
  Version version = Version::http11;
  uint16_t status = 0;  // 100..599
  std::string_view phrase;
  HeaderMap headers;
};

/// The standard phrase of a status (RFC 9110 §15), "Unknown" for others.
std::string_view phrase_of(uint16_t status);

}  // namespace sluice::http
