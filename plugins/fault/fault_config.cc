#include "fault/fault_config.h"

#include "common/header_syntax.h"

namespace sluice::fault {

namespace {

// Both together are less than the longest pause that the gateway grants to a plugin, which is 60 s.
constexpr std::chrono::seconds kMaxDelay{25};

// True if it is there and a map; tells which keys are missing.
bool is_section(Node node, std::initializer_list<std::string_view> required) {
  if (!node) return false;
  if (!node.is_map()) {
    node.error("a map with keys is expected");
    return false;
  }
  for (const std::string_view key : required) {
    if (!node[key]) node.error("\"" + std::string(key) + "\" is missing");
  }
  return true;
}

}  // namespace

Config::Config(Setup& setup) : delayed(setup.counter("delayed")), aborted(setup.counter("aborted")) {
  const Node delay_node = setup["delay"];
  const Node abort_node = setup["abort"];
  if (!delay_node && !abort_node) setup.error("neither \"delay\" nor \"abort\" is there: it would do nothing");
  if (is_section(delay_node, {"time", "percentage"})) {
    delay_node["time"].read(delay, std::chrono::milliseconds(0), kMaxDelay);
    delay_node["jitter"].read(jitter, std::chrono::milliseconds(0), kMaxDelay);
    delay_node["percentage"].read(delay_share, 0, 1);
  }
  if (is_section(abort_node, {"percentage"})) {
    abort_node["status"].read(status, 400, 599);
    abort_node["percentage"].read(abort_share, 0, 1);
  }
  const Node header = setup["only_with_header"];
  if (header.read(only_with_header) && !is_token(only_with_header)) header.error("the name of a header is expected");
}

}  // namespace sluice::fault
