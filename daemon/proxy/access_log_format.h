// What an access log line says. SL_LOG_FIELDS is the one table of its fields: the JSON format is all of them
// in this order, templates name them as {field}, the manual lists them. LogFormat is AccessLogSpec compiled:
// immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/reason.h"
#include "snapshot/spec.h"

namespace sluice::proxy {

/// One exchange as the log tells it. Views need live only during AccessLog::write().
struct AccessRecord {
  Micros wall_start{0};  // when its first byte came, since the epoch
  std::string_view request_id;
  std::string_view client;  // "192.0.2.1:40312", "[2001:db8::1]:40312", the same without port, or "unix"
  std::string_view method;
  std::string_view host;
  std::string_view target;  // as received
  std::string_view route;
  std::string_view endpoint;
  std::string_view user_agent;
  std::string_view referer;
  std::string_view protocol;  // "HTTP/1.1"
  std::string_view tls;       // "TLSv1.3"; empty: none
  bool early_data = false;
  uint16_t status = 0;
  Reason reason = Reason::none;
  std::string_view detail;
  std::string_view plugin_reason;  // instead of reason, if a plugin has a code of its own; at most 64 bytes
  std::string_view plugins;        // "jwt:12 session:4"; empty if the format does not name it, as is the next one
  std::string_view plugin_phases;  // "jwt:request=11.8,complete=0.1 session:request=3.9"
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint32_t attempts = 0;
  bool upstream_reused = false;
  bool connection_reused = false;
  // Slices of its time, in microseconds:
  uint64_t read_head = 0;
  uint64_t wait_connection = 0;
  uint64_t upstream_first_byte = 0;
  uint64_t response = 0;
  uint64_t total = 0;
};

[[nodiscard]] inline std::string_view reason_of(const AccessRecord& record) {
  return record.plugin_reason.empty() ? name(record.reason) : record.plugin_reason;
}
/// The address of `client` without its port.
std::string_view client_ip(std::string_view client);

// clang-format off
// Columns: name, kind, value out of AccessRecord r, help.
#define SL_LOG_FIELDS(X) \
  X(time,                   rfc3339, r.wall_start,          "when the request began: RFC 3339, UTC, milliseconds") \
  X(request_id,             text,    r.request_id,          "id of the request, also sent upstream") \
  X(client,                 text,    r.client,              "address and port of the client; no port if a trusted proxy named it") \
  X(method,                 text,    r.method,              "request method") \
  X(host,                   text,    r.host,                "host that was asked for") \
  X(path,                   text,    r.target,              "path and query as received") \
  X(protocol,               text,    r.protocol,            "HTTP version of the request") \
  X(tls,                    text,    r.tls,                 "version of TLS; empty without") \
  X(status,                 number,  r.status,              "status of the response; 0 if there was none") \
  X(reason,                 text,    reason_of(r),          "why the gateway answered itself or broke off; none if it did not") \
  X(detail,                 text,    r.detail,              "what exactly was wrong, if more is known than the reason: errors of sockets and TLS, a rule that was broken. Clients are not told") \
  X(route,                  text,    r.route,               "name of the route that matched") \
  X(endpoint,               text,    r.endpoint,            "upstream endpoint that answered") \
  X(attempts,               number,  r.attempts,            "how many endpoints were tried") \
  X(upstream_reused,        flag,    r.upstream_reused,     "the upstream connection came from the pool") \
  X(connection_reused,      flag,    r.connection_reused,   "the client's connection had served a request before") \
  X(bytes_in,               number,  r.bytes_in,            "bytes received from the client") \
  X(bytes_out,              number,  r.bytes_out,           "bytes sent to the client") \
  X(read_head_us,           number,  r.read_head,           "microseconds from the first byte to the end of the request head") \
  X(wait_connection_us,     number,  r.wait_connection,     "microseconds until an upstream connection was ready") \
  X(upstream_first_byte_us, number,  r.upstream_first_byte, "microseconds until the upstream's first response byte") \
  X(response_us,            number,  r.response,            "microseconds from there to the last byte sent") \
  X(total_us,               number,  r.total,               "microseconds from first to last byte") \
  X(plugins,                text,    r.plugins,             "microseconds of CPU of each plugin that took half a microsecond or more") \
  X(user_agent,             text,    r.user_agent,          "User-Agent of the request") \
  X(referer,                text,    r.referer,             "Referer of the request")

// For templates only.
#define SL_LOG_TEMPLATE_FIELDS(X) \
  X(plugin_phases,          text,    r.plugin_phases,       "microseconds of CPU that each plugin took in each phase: `session:request=3.9,response=0.2`") \
  X(early_data,             flag,    r.early_data,          "the request came as TLS early data, at least in part") \
  X(client_ip,              text,    client_ip(r.client),   "address of the client without port") \
  X(time_clf,               clf,     r.wall_start,          "time as in Apache's common log format, without brackets")
// clang-format on

enum class LogField : uint8_t {
#define SL_ROW(name, ...) name,
  SL_LOG_FIELDS(SL_ROW) SL_LOG_TEMPLATE_FIELDS(SL_ROW)
#undef SL_ROW
      literal  // text between fields
};

class LogFormat {
 public:
  using Kind = snapshot::AccessLogSpec::Format;

  /// One piece of a template's line.
  struct Part {
    LogField field = LogField::literal;
    std::string text;  // of a literal
  };

  /// Nothing if the template is wrong; then `error` says what, at which offset, and what was probably meant.
  static std::optional<LogFormat> compile(const snapshot::AccessLogSpec& spec, std::string& error);

  [[nodiscard]] Kind kind() const { return kind_; }
  /// Share of the requests to log, of 2^32.
  [[nodiscard]] uint64_t sample() const { return sample_; }
  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }
  [[nodiscard]] bool names(LogField field) const { return (named_ >> static_cast<unsigned>(field) & 1) != 0; }
  /// The longest line of a record whose texts have `text_bytes` in all, escapes and slack included.
  [[nodiscard]] size_t line_bound(size_t text_bytes) const { return fixed_bytes_ + text_factor_ * text_bytes; }

 private:
  bool compile_template(std::string_view source, std::string& error);
  void measure();

  Kind kind_ = Kind::off;
  uint64_t sample_ = 0;
  size_t fixed_bytes_ = 0;
  size_t text_factor_ = 0;
  uint64_t named_ = 0;       // fields, bit by bit
  std::vector<Part> parts_;  // of combined and custom
};

}  // namespace sluice::proxy
