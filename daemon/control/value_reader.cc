#include "control/value_reader.h"

#include <sched.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "base/assert.h"
#include "base/format.h"
#include "base/strings.h"
#include "control/values.h"
#include "http/parser.h"
#include "http/uri.h"

namespace sluice::control {

using Kind = Node::Kind;

void read_value(SectionReader& reader, const Row& row, Node& node, bool& value) {
  if (!reader.expect_scalar(row, node)) return;
  if (node.text != "true" && node.text != "false") return reader.refuse(row, node);
  value = node.text == "true";
}

void read_value(SectionReader& reader, const Row& row, Node& node, uint64_t& value) {
  if (!reader.expect_scalar(row, node)) return;
  const std::optional<uint64_t> parsed = row.type == Type::size ? parse_size(node.text) : parse_u64(node.text);
  if (!parsed) return reader.refuse(row, node);
  if (reader.in_range(row, node, *parsed)) value = *parsed;
}

namespace {
template <typename T>
void read_narrow(SectionReader& reader, const Row& row, Node& node, T& value) {
  SL_ASSERT(row.range.max > 0 && row.range.max <= std::numeric_limits<T>::max());
  uint64_t wide = value;
  read_value(reader, row, node, wide);
  value = static_cast<T>(wide);
}
}  // namespace

void read_value(SectionReader& reader, const Row& row, Node& node, uint32_t& value) {
  read_narrow(reader, row, node, value);
}

void read_value(SectionReader& reader, const Row& row, Node& node, uint16_t& value) {
  read_narrow(reader, row, node, value);
}

void read_value(SectionReader& reader, const Row& row, Node& node, double& value) {
  if (!reader.expect_scalar(row, node)) return;
  const std::optional<double> parsed = parse_share(node.text);
  if (!parsed) return reader.refuse(row, node);
  value = *parsed;
}

void read_value(SectionReader& reader, const Row& row, Node& node, Millis& value) {
  if (!reader.expect_scalar(row, node)) return;
  const std::optional<Millis> parsed = parse_duration(node.text);
  if (!parsed) return reader.refuse(row, node);
  if (reader.in_range(row, node, static_cast<uint64_t>(parsed->count()))) value = *parsed;
}

void read_value(SectionReader& reader, const Row& row, Node& node, Network& value) {
  if (!reader.expect_scalar(row, node)) return;
  const std::optional<Network> parsed = Network::parse(node.text);
  if (!parsed) return reader.refuse(row, node);
  value = *parsed;
}

// A DNS server: the port may be left out.
void read_value(SectionReader& reader, const Row& row, Node& node, SocketAddress& value) {
  constexpr uint16_t kDnsPort = 53;
  if (!reader.expect_scalar(row, node)) return;
  std::optional<SocketAddress> parsed = SocketAddress::parse_ip(node.text);
  if (parsed) {
    parsed = parsed->with_port(kDnsPort);
  } else {
    parsed = SocketAddress::parse(node.text);
  }
  const bool usable = parsed && parsed->family() != AF_UNIX && parsed->port() != 0 && !node.text.starts_with(':');
  if (!usable) return reader.refuse(row, node);
  value = *parsed;
}

namespace {
// "api.example.com" or "*.example.com", in lower case; nothing if it is neither.
std::optional<std::string> host_from(std::string_view text) {
  std::string host;
  for (const char c : text) host += to_lower(c);
  const std::string_view name = host.starts_with("*.") ? std::string_view(host).substr(2) : std::string_view(host);
  if (name.find('*') != std::string_view::npos || !http::is_valid_authority(name) || http::host_of(name) != name) {
    return std::nullopt;
  }
  return host;
}
}  // namespace

void read_value(SectionReader& reader, const Row& row, Node& node, std::string& value) {
  if (!reader.expect_scalar(row, node)) return;
  if (row.type == Type::host) {
    std::optional<std::string> host = host_from(node.text);
    if (!host) return reader.refuse(row, node);
    value = std::move(*host);
    return;
  }
  const std::string_view text = node.text;
  const bool is_name = !text.empty() && text.find('/') == std::string::npos && text != "." && text != "..";
  if (row.type == Type::file_name && !is_name) return reader.refuse(row, node);
  if (row.type == Type::log_path && text != "stdout" && !text.starts_with('/')) return reader.refuse(row, node);
  if (row.type == Type::absolute_path && !text.starts_with('/')) return reader.refuse(row, node);
  value = node.text;
}

std::optional<SocketAddress> read_address(const Node& node, Type type, Diagnostics& diagnostics) {
  std::optional<SocketAddress> address = SocketAddress::parse(node.text);
  if (address) return address;
  const TypeRow& row = row_of(type);
  const std::string_view host = std::string_view(node.text).substr(0, node.text.rfind(':'));
  const bool is_name = host != "unix" && host.find_first_of("ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ") != host.npos;
  diagnostics.error(
      node.place, fmt::format("\"{}\" is not {}; write {}{}", shortened(node.text), with_article(row.name), row.written,
                              is_name ? " (a listener has an address, not a name)" : ""));
  return std::nullopt;
}

bool read_endpoint(const Node& node, Type type, snapshot::EndpointSpec& endpoint, Diagnostics& diagnostics) {
  const TypeRow& written = row_of(type);
  const std::optional<SocketAddress> address = SocketAddress::parse(node.text);
  const std::optional<HostAndPort> host = parse_host_and_port(node.text);
  endpoint.name = node.text;
  if (type == Type::address && address) {
    const bool connectable = address->family() == AF_UNIX || (address->port() != 0 && !node.text.starts_with(':'));
    if (!connectable) {
      diagnostics.error(node.place,
                        fmt::format("\"{}\" cannot be connected to; write {}", shortened(node.text), written.written));
    }
    endpoint.address = *address;
    return connectable;
  }
  if (!host) {
    const std::string_view hint = address ? " (an address stands under \"address\")" : "";
    diagnostics.error(node.place, fmt::format("\"{}\" is not {}; write {}{}", shortened(node.text),
                                              with_article(written.name), written.written, hint));
    return false;
  }
  endpoint.host = host->host;
  endpoint.port = host->port;
  return true;
}

std::string place_of(const snapshot::EndpointSpec& endpoint) {
  return endpoint.host.empty() ? endpoint.address.to_string() : fmt::format("{}:{}", endpoint.host, endpoint.port);
}

void read_version(SectionReader& reader, const Row& row, Node& node, Draft&) {
  if (!reader.expect_scalar(row, node)) return;
  if (node.text != "1") reader.refuse(row, node, "is not known to this version of sluice; it must be 1");
}

// Its files were read when the tree was made (load.h); only the form is left to check.
void read_include(SectionReader& reader, const Row& row, Node& node, Draft&) {
  if (node.kind != Kind::list) {
    reader.expect_scalar(row, node);
    return;
  }
  for (const Entry& entry : node.entries) reader.expect_scalar(row, *entry.value);
}

uint32_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return std::max(1u, std::thread::hardware_concurrency());
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
}

void read_workers(SectionReader& reader, const Row& row, Node& node, snapshot::ProcessSpec& process) {
  if (node.kind == Kind::scalar && node.text == "auto") {
    process.workers = usable_cpus();
  } else {
    read_value(reader, row, node, process.workers);
  }
}

void read_log_format(SectionReader& reader, const Row& row, Node& node, snapshot::AccessLogSpec& log) {
  using Format = snapshot::AccessLogSpec::Format;
  if (node.kind == Kind::scalar && node.text.find('{') != std::string::npos) {
    log.format = Format::custom;
    log.custom_text = node.text;
    log.source = reader.describe(node.place);
    if (!is_printable(node.text)) reader.refuse(row, node, "must be one line of printable text");
  } else if (const Choice* choice = reader.choose(row, node)) {
    log.format = static_cast<Format>(choice->value);
  }
}

void read_store_type(SectionReader& reader, const Row& row, Node& node, StoreDraft& store) {
  const Choice* choice = reader.choose(row, node);
  if (choice != nullptr) store.type = static_cast<snapshot::StoreSpec::Type>(choice->value);
}

// `true` is what others have here, and would believe anybody.
void read_proxy_protocol(SectionReader& reader, const Row& row, Node& node, ListenerDraft& listener) {
  if (node.kind == Kind::scalar) {
    return reader.error(node.place, "proxy_protocol: name the load balancers that send it, such as [10.0.0.0/8]");
  }
  if (!reader.expect_list(row, node)) return;
  for (const Entry& entry : node.entries) {
    read_value(reader, row, *entry.value, listener.spec.proxy_protocol.emplace_back());
  }
}

void read_retry_on(SectionReader& reader, const Row& row, Node& node, snapshot::RetrySpec& retry) {
  if (!reader.expect_list(row, node)) return;
  struct Word {
    std::string_view name;
    bool snapshot::RetrySpec::*flag;
  };
  constexpr Word kWords[] = {{"connect", &snapshot::RetrySpec::on_connect},
                             {"reset", &snapshot::RetrySpec::on_reset},
                             {"timeout", &snapshot::RetrySpec::on_timeout}};
  struct GrpcWord {
    std::string_view name;
    unsigned status;
  };
  constexpr GrpcWord kGrpcWords[] = {{"grpc_cancelled", 1},
                                     {"grpc_deadline_exceeded", 4},
                                     {"grpc_resource_exhausted", 8},
                                     {"grpc_internal", 13},
                                     {"grpc_unavailable", 14}};
  for (const Word& word : kWords) retry.*word.flag = false;
  for (const Entry& entry : node.entries) {
    const Node& value = *entry.value;
    if (!reader.expect_scalar(row, value)) continue;
    Suggestion suggestion(value.text);
    bool known = false;
    for (const Word& word : kWords) {
      suggestion.consider(word.name);
      if (word.name != value.text) continue;
      known = retry.*word.flag = true;
    }
    for (const GrpcWord& word : kGrpcWords) {
      suggestion.consider(word.name);
      if (word.name != value.text) continue;
      retry.on_grpc_statuses |= 1u << word.status;
      known = true;
    }
    if (known) continue;
    const std::optional<uint64_t> status = parse_u64(value.text);
    constexpr uint64_t kTooEarly = 425;  // it is the client who is to ask again (RFC 8470 §5.2)
    if (status && *status >= 400 && *status <= 599 && *status != kTooEarly) {
      retry.on_statuses.push_back(static_cast<uint16_t>(*status));
    } else {
      reader.refuse(row, value,
                    fmt::format("is not a reason to retry; write {}{}", row_of(row.type).written, suggestion.text()));
    }
  }
}

void read_methods(SectionReader& reader, const Row& row, Node& node, MatchDraft& match) {
  if (!reader.expect_list(row, node)) return;
  if (node.entries.empty())
    return reader.error(node.place, "methods: the list is empty, so nothing would match; leave it out for all methods");
  match.spec.methods = 0;
  for (const Entry& entry : node.entries) {
    const Node& value = *entry.value;
    if (!reader.expect_scalar(row, value)) continue;
    const http::Method method = http::method_from(value.text);
    if (method == http::Method::CONNECT || method == http::Method::TRACE) {
      reader.refuse(row, value, "is never forwarded: it would open a tunnel or echo credentials");
    } else if (method == http::Method::unknown) {
      std::string upper;
      for (const char c : value.text) upper += c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c;
      const bool only_case = http::method_from(upper) != http::Method::unknown;
      reader.refuse(
          row, value,
          only_case ? fmt::format("is not a method; write {}", upper) : "is not a method that sluice forwards");
    } else {
      match.spec.methods |= http::method_bit(method);
    }
  }
  if ((match.spec.methods & http::method_bit(http::Method::GET)) != 0)
    match.spec.methods |= http::method_bit(http::Method::HEAD);
}

namespace {
// A value that must be met, or true for any.
void read_conditions(SectionReader& reader, const Row& row, Node& node, snapshot::Condition::Kind kind,
                     MatchDraft& match) {
  if (!reader.expect_map(row, node)) return;
  for (const Entry& entry : node.entries) {
    const Node& value = *entry.value;
    if (!reader.expect_scalar(row, value)) continue;
    snapshot::Condition condition{.kind = kind,
                                  .name = std::string(entry.key),
                                  .value = std::string(value.text),
                                  .any = !value.quoted && value.text == "true"};
    if (condition.any) condition.value.clear();
    if (!value.quoted && value.text == "false") {
      reader.refuse(row, value, "would ask for the text false; write \"false\" in quotes if that is meant");
      continue;
    }
    if (kind == snapshot::Condition::Kind::header) {
      for (char& c : condition.name) c = to_lower(c);
      if (!http::is_token(condition.name)) {
        reader.error(entry.key_place, fmt::format("\"{}\" is not a header name; write {}", shortened(entry.key),
                                                  row_of(Type::header_name).written));
        continue;
      }
      if (!http::is_field_value(condition.value)) {
        reader.refuse(row, value, "can never be the value of a header");
        continue;
      }
    }
    match.spec.conditions.push_back(std::move(condition));
  }
}
}  // namespace

void read_header_conditions(SectionReader& reader, const Row& row, Node& node, MatchDraft& match) {
  read_conditions(reader, row, node, snapshot::Condition::Kind::header, match);
}

void read_query_conditions(SectionReader& reader, const Row& row, Node& node, MatchDraft& match) {
  read_conditions(reader, row, node, snapshot::Condition::Kind::query, match);
}

void read_claim_conditions(SectionReader& reader, const Row& row, Node& node, MatchDraft& match) {
  read_conditions(reader, row, node, snapshot::Condition::Kind::claim, match);
}

}  // namespace sluice::control
