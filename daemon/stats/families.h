// Every figure that the gateway keeps is one row here; /metrics, /stats and the documentation are made from
// the rows. Columns: enumerator, kind, unit, Prometheus name, label names, help. Durations are counted in
// microseconds or nanoseconds and shown in seconds. A label that is one of the lists below (reason, class, state,
// slice, kind, session, result, phase, operation) takes its values from that list and stands last: such a family is interned as one run of
// cells, and pick(run, value) is the cell of a value. A histogram, and a series with a `reason`, is shown only
// once something was counted, so that a page does not drown in things that never happened.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/reason.h"

namespace sluice::stats {

// clang-format off
#define SL_STATUS_CLASSES(X) \
  X(c1xx, "1xx") X(c2xx, "2xx") X(c3xx, "3xx") X(c4xx, "4xx") X(c5xx, "5xx")
#define SL_CONNECTION_STATES(X) \
  X(idle, "idle") X(reading, "reading") X(waiting, "waiting") X(writing, "writing") X(tunnel, "tunnel") \
  X(lost, "lost") X(handshake, "handshake")
#define SL_SLICES(X) \
  X(read_head, "read_head") X(wait_connection, "wait_connection") \
  X(upstream_first_byte, "upstream_first_byte") X(response, "response")
#define SL_PLUGIN_PHASES(X) \
  X(request_start, "request_start") X(request, "request") X(request_body, "request_body") \
  X(response, "response") X(response_body, "response_body") X(complete, "complete")
#define SL_RETRY_KINDS(X) \
  X(stale, "stale") X(refused, "refused") X(policy, "policy") X(denied_by_budget, "denied_by_budget")

#define SL_TLS_SESSIONS(X) X(full, "full") X(resumed, "resumed")
#define SL_EARLY_DATA(X) X(accepted, "accepted") X(rejected, "rejected")
#define SL_STORE_OPERATIONS(X) \
  X(get, "get") X(touch, "touch") X(put, "put") X(put_if_absent, "put_if_absent") X(replace_if, "replace_if") \
  X(remove_if, "remove_if") X(remove, "remove") X(take, "take") X(add, "add")

#define SL_FAMILIES(X) \
  /* clients */ \
  X(downstream_accepted,      counter,   none,    "sluice_downstream_connections_accepted_total", "listener",                 "Client connections accepted.") \
  X(downstream_connections,   gauge,     none,    "sluice_downstream_connections",                "listener state",           "Client connections open now, by what they are doing.") \
  X(tls_handshakes,           counter,   none,    "sluice_tls_handshakes_total",                "listener session",         "TLS handshakes with clients that succeeded: full ones, and sessions resumed (with early data as soon as that is accepted). Failed ones are among the connections closed, by reason.") \
  X(tls_early_data,           counter,   none,    "sluice_tls_early_data_total",                "listener result",          "TLS handshakes in which the client sent early data, by what became of that; what is rejected is sent again behind the handshake.") \
  X(downstream_closed,        counter,   none,    "sluice_downstream_connections_closed_total",   "listener reason",          "Client connections ended, by why.") \
  X(downstream_received,      counter,   bytes,   "sluice_downstream_received_bytes_total",       "listener",                 "Bytes read from clients.") \
  X(downstream_sent,          counter,   bytes,   "sluice_downstream_sent_bytes_total",           "listener",                 "Bytes written to clients.") \
  /* requests */ \
  X(requests,                 counter,   none,    "sluice_requests_total",                        "route class",              "Requests answered, by route and status class.") \
  X(requests_in_flight,       gauge,     none,    "sluice_requests_in_flight",                    "",                         "Requests begun and not yet finished.") \
  X(request_duration,         histogram, micros,  "sluice_request_duration_seconds",              "route",                    "From the first byte of a request to the last byte of its answer; not of tunnels.") \
  X(request_slices,           histogram, micros,  "sluice_request_slice_seconds",                 "slice",                    "Where the time of requests goes; of tunnels not the response.") \
  X(request_failures,         counter,   none,    "sluice_request_failures_total",                "reason",                   "Requests refused, failed or aborted, by why.") \
  /* tunnels: what an upgrade has become */ \
  X(tunnels_opened,           counter,   none,    "sluice_tunnels_opened_total",                  "listener",                 "Tunnels opened (status 101): WebSocket and other upgrades.") \
  X(tunnels_open,             gauge,     none,    "sluice_tunnels_open",                          "listener",                 "Tunnels open now.") \
  X(tunnel_received,          counter,   bytes,   "sluice_tunnel_received_bytes_total",           "listener",                 "Bytes passed on from clients by tunnels.") \
  X(tunnel_sent,              counter,   bytes,   "sluice_tunnel_sent_bytes_total",               "listener",                 "Bytes passed on to clients by tunnels, with the head of the answer.") \
  X(tunnel_duration,          histogram, micros,  "sluice_tunnel_duration_seconds",               "listener",                 "From the first byte of a request to the end of the tunnel that it became.") \
  /* upstreams */ \
  X(upstream_requests,        counter,   none,    "sluice_upstream_requests_total",               "upstream endpoint",        "Requests sent to an endpoint, retries included.") \
  X(upstream_response_time,   histogram, micros,  "sluice_upstream_response_seconds",             "upstream endpoint",        "From a request sent to the first byte of the endpoint's answer.") \
  X(upstream_opened,          counter,   none,    "sluice_upstream_connections_opened_total",     "upstream endpoint",        "Connections opened to an endpoint.") \
  X(upstream_reused,          counter,   none,    "sluice_upstream_connections_reused_total",     "upstream endpoint",        "Requests that found a pooled connection.") \
  X(upstream_active,          gauge,     none,    "sluice_upstream_connections_active",           "upstream endpoint",        "Connections that carry an exchange now.") \
  X(upstream_streams,         gauge,     none,    "sluice_upstream_streams",                      "upstream endpoint",        "Requests that connections of HTTP/2 carry now, one stream each; of endpoints that may speak it.") \
  X(upstream_idle,            gauge,     none,    "sluice_upstream_connections_idle",             "upstream endpoint",        "Connections that wait in the pool now.") \
  X(upstream_pending,         gauge,     none,    "sluice_upstream_pending_requests",             "upstream endpoint",        "Requests that wait for a connection now.") \
  X(upstream_closed,          counter,   none,    "sluice_upstream_connections_closed_total",     "upstream endpoint reason", "Connections to an endpoint ended, by why.") \
  X(upstream_connect_failures, counter,  none,    "sluice_upstream_connect_failures_total",       "upstream endpoint",        "Connections to an endpoint that could not be made.") \
  X(upstream_tls_handshakes,  counter,   none,    "sluice_upstream_tls_handshakes_total",         "upstream endpoint session", "TLS handshakes with an endpoint that succeeded: whole ones, or an earlier session taken up again; of endpoints with TLS.") \
  X(upstream_retries,         counter,   none,    "sluice_upstream_retries_total",                "upstream kind",            "Further attempts: after a stale pooled connection, after an endpoint took a request back unprocessed (HTTP/2), by policy, or wished but over the budget.") \
  /* plugins */ \
  X(plugin_calls,             counter,   none,    "sluice_plugin_calls_total",                    "plugin phase",             "Times that a phase of a plugin was called.") \
  X(plugin_time,              counter,   nanos,   "sluice_plugin_cpu_seconds_total",              "plugin phase",             "Time that a plugin's phases took, without what they waited for.") \
  X(plugin_events,            counter,   none,    "sluice_plugin_events_total",                   "plugin event",             "What a plugin counts; its manual says what each event is.") \
  X(plugin_values,            histogram, micros,  "sluice_plugin_values_seconds",                 "plugin value",             "What a plugin measures; its manual says what each value is.") \
  /* names */ \
  X(dns_lookups,              counter,   none,    "sluice_dns_lookups_total",                     "name",                     "Times that the name of an endpoint was looked up.") \
  X(dns_failures,             counter,   none,    "sluice_dns_failures_total",                    "name",                     "Lookups that gave no address; those known before stay in use.") \
  X(dns_changes,              counter,   none,    "sluice_dns_changes_total",                     "name",                     "Lookups that gave other addresses than the one before.") \
  X(dns_addresses,            gauge,     none,    "sluice_dns_addresses",                         "name",                     "Addresses of the name that are in use now.") \
  /* stores; what only a store in memory knows is shown of those only */ \
  X(store_operations,         counter,   none,    "sluice_store_operations_total",                "store operation",          "Operations asked of a store, failed ones included.") \
  X(store_misses,             counter,   none,    "sluice_store_misses_total",                    "store",                    "Operations get and touch that found nothing.") \
  X(store_failures,           counter,   none,    "sluice_store_failures_total",                  "store reason",             "Operations that failed, by why.") \
  X(store_entries,            gauge,     none,    "sluice_store_entries",                         "store",                    "Entries in a memory store now.") \
  X(store_bytes,              gauge,     bytes,   "sluice_store_bytes",                           "store",                    "What a memory store takes of its max_bytes now, with all overhead.") \
  X(store_evictions,          counter,   none,    "sluice_store_evictions_total",                 "store",                    "Entries that a memory store dropped to make room for others.") \
  X(store_expirations,        counter,   none,    "sluice_store_expirations_total",               "store",                    "Entries that a memory store dropped since their time was over.") \
  X(store_available,          gauge,     none,    "sluice_store_available",                       "store",                    "1 while every worker reaches the store, else 0; of Redis stores.") \
  /* the logs, and the admin listener */ \
  X(access_log_lines,         counter,   none,    "sluice_access_log_lines_total",                "",                         "Lines handed to the access log's writer.") \
  X(access_log_dropped,       counter,   none,    "sluice_access_log_dropped_total",              "",                         "Lines dropped since the writer was behind.") \
  X(application_log_dropped,  counter,   none,    "sluice_application_log_dropped_total",         "",                         "Lines of the application log dropped since standard error took no more.") \
  X(admin_refused,            counter,   none,    "sluice_admin_connections_refused_total",       "",                         "Connections to the admin listener refused since too many were open.") \
  /* the gateway itself; the process_ names are those of every Prometheus client library */ \
  X(build_info,               gauge,     none,    "sluice_build_info",                            "version",                  "Always 1; the version is the label.") \
  X(config_generation,        gauge,     none,    "sluice_config_generation",                     "",                         "Grows by one with each configuration adopted.") \
  X(config_reloads,           counter,   none,    "sluice_config_reloads_total",                  "outcome",                  "Reloads, accepted or refused.") \
  X(workers,                  gauge,     none,    "sluice_workers",                               "",                         "Worker threads.") \
  X(worker_stalls,            counter,   none,    "sluice_worker_stalls_total",                   "",                         "Times that the loop of a worker did not turn for 5 seconds.") \
  X(process_start_time,       gauge,     micros,  "process_start_time_seconds",                   "",                         "When the process began, in seconds since the epoch.") \
  X(process_cpu,              counter,   micros,  "process_cpu_seconds_total",                    "",                         "CPU time used, user and system.") \
  X(process_open_fds,         gauge,     none,    "process_open_fds",                             "",                         "File descriptors open.") \
  X(process_max_fds,          gauge,     none,    "process_max_fds",                              "",                         "File descriptors allowed.") \
  X(process_resident,         gauge,     bytes,   "process_resident_memory_bytes",                "",                         "Resident memory.")
// clang-format on

enum class Family : uint8_t {
#define SL_ROW(name, ...) name,
  SL_FAMILIES(SL_ROW)
#undef SL_ROW
      kCount
};
#define SL_ROW(name, text) name,
enum class StatusClass : uint8_t { SL_STATUS_CLASSES(SL_ROW) };
enum class ConnectionState : uint8_t { SL_CONNECTION_STATES(SL_ROW) };
enum class Slice : uint8_t { SL_SLICES(SL_ROW) };
enum class TlsSession : uint8_t { SL_TLS_SESSIONS(SL_ROW) };
enum class EarlyData : uint8_t { SL_EARLY_DATA(SL_ROW) };
enum class RetryKind : uint8_t { SL_RETRY_KINDS(SL_ROW) };
enum class PluginPhase : uint8_t { SL_PLUGIN_PHASES(SL_ROW) };
enum class StoreOperation : uint8_t { SL_STORE_OPERATIONS(SL_ROW) };
#undef SL_ROW

/// 100..599; what is outside counts as 5xx.
constexpr StatusClass status_class(uint16_t status) {
  return status >= 100 && status < 600 ? static_cast<StatusClass>(status / 100 - 1) : StatusClass::c5xx;
}

enum class Kind : uint8_t { counter, gauge, histogram };
enum class Unit : uint8_t { none, bytes, micros, nanos };

constexpr size_t kMaxLabels = 3;

struct FamilyRow {
  Kind kind;
  Unit unit;
  std::string_view name;
  std::array<std::string_view, kMaxLabels> labels;  // the first label_count are used
  uint8_t label_count;
  std::span<const std::string_view> last_values;  // the values of the last label if they are a list; else empty
  std::string_view help;

  /// How many labels are given by name when a run is interned: all but a list.
  [[nodiscard]] size_t own_labels() const { return label_count - (last_values.empty() ? 0u : 1u); }
  /// True for counters that are shown only once they are not zero.
  [[nodiscard]] bool sparse() const { return label_count > 0 && labels[label_count - 1] == "reason"; }
};

/// The row of a family; static storage.
const FamilyRow& row(Family family);
std::string_view name(Kind kind);

}  // namespace sluice::stats
