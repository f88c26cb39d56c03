// From a node to a value of the draft: what bindings call (binding.h). Each checks the node's form, the row's
// range and choices, and reports what is wrong to the section reader. Stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/clock.h"
#include "control/draft.h"
#include "control/schema.h"
#include "control/section_reader.h"
#include "control/tree.h"

namespace sluice::control {

// One function per C++ type of a value; the row says which of the type's forms is meant. They leave `value`
// alone after an error, which they report.
void read_value(SectionReader& reader, const Row& row, Node& node, bool& value);
void read_value(SectionReader& reader, const Row& row, Node& node, uint64_t& value);
void read_value(SectionReader& reader, const Row& row, Node& node, uint32_t& value);
void read_value(SectionReader& reader, const Row& row, Node& node, uint16_t& value);
void read_value(SectionReader& reader, const Row& row, Node& node, double& value);
void read_value(SectionReader& reader, const Row& row, Node& node, Millis& value);
void read_value(SectionReader& reader, const Row& row, Node& node, std::string& value);
void read_value(SectionReader& reader, const Row& row, Node& node, Network& value);
void read_value(SectionReader& reader, const Row& row, Node& node, SocketAddress& value);

/// An address to listen on; nothing after an error. `type` says which kind, for the message.
std::optional<SocketAddress> read_address(const Node& node, Type type, Diagnostics& diagnostics);

/// A server to connect to: the endpoint's address, or its host and port, and its name. `type` is address, or host_and_port
/// where an address is not meant. False after an error.
bool read_endpoint(const Node& node, Type type, snapshot::EndpointSpec& endpoint, Diagnostics& diagnostics);

/// What two endpoints that are one server have in common: "127.0.0.1:80", "app.internal:80".
std::string place_of(const snapshot::EndpointSpec& endpoint);

// Values that are more than one member of their owner.
void read_version(SectionReader& reader, const Row& row, Node& node, Draft& draft);
void read_include(SectionReader& reader, const Row& row, Node& node, Draft& draft);
/// CPUs that this process may run on.
uint32_t usable_cpus();
void read_workers(SectionReader& reader, const Row& row, Node& node, snapshot::ProcessSpec& process);
void read_log_format(SectionReader& reader, const Row& row, Node& node, snapshot::AccessLogSpec& log);
void read_store_type(SectionReader& reader, const Row& row, Node& node, StoreDraft& store);
void read_proxy_protocol(SectionReader& reader, const Row& row, Node& node, ListenerDraft& listener);
void read_retry_on(SectionReader& reader, const Row& row, Node& node, snapshot::RetrySpec& retry);
void read_methods(SectionReader& reader, const Row& row, Node& node, MatchDraft& match);
void read_header_conditions(SectionReader& reader, const Row& row, Node& node, MatchDraft& match);
void read_query_conditions(SectionReader& reader, const Row& row, Node& node, MatchDraft& match);
void read_claim_conditions(SectionReader& reader, const Row& row, Node& node, MatchDraft& match);

}  // namespace sluice::control
