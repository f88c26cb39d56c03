#include "ip-filter/ip-filter_config.h"

#include <algorithm>

namespace sluice::ip_filter {

namespace {

void read_list(Node list, Networks& networks) {
  list.for_each_in_list([&](Node entry) {
    std::string text;
    if (!entry.read(text)) return;
    const std::string mistake = networks.add(text);
    if (!mistake.empty()) entry.error(mistake);
  });
}

// A network on each line, with room for comments behind a #.
void read_file(Node node, Networks& networks) {
  const std::optional<std::string> content = node.file();
  if (!content) return;
  constexpr int kMostErrors = 10;
  int errors = 0;
  size_t number = 0;
  for (size_t at = 0; at < content->size() && errors < kMostErrors;) {
    const size_t end = std::min(content->find('\n', at), content->size());
    std::string_view line = std::string_view(*content).substr(at, end - at);
    at = end + 1;
    ++number;
    line = line.substr(0, line.find('#'));
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) continue;
    const std::string mistake = networks.add(line);
    if (mistake.empty()) continue;
    node.error("line " + std::to_string(number) + ": " + mistake);
    ++errors;
  }
}

}  // namespace

Config::Config(Setup& setup) : allowed(setup.counter("allowed")), denied(setup.counter("denied")) {
  read_list(setup["allow"], allow);
  read_file(setup["allow_file"], allow);
  read_list(setup["deny"], deny);
  read_file(setup["deny_file"], deny);
  allow.sort();
  deny.sort();
  // An empty list of allowed networks refuses everybody: a file that is empty by mistake must not open the door.
  only_allowed = setup["allow"] || setup["allow_file"];
  if (!only_allowed && !setup["deny"] && !setup["deny_file"])
    setup.error("one of \"allow\", \"allow_file\", \"deny\" and \"deny_file\" must be there");
  setup["address"].choose(subject, {{"client", SLUICE_CLIENT}, {"peer", SLUICE_PEER}});
}

bool Config::allows(std::string_view text) const {
  const std::optional<Address> address = parse_address(text);
  if (!address) return !only_allowed;
  return !deny.contains(*address) && (!only_allowed || allow.contains(*address));
}

}  // namespace sluice::ip_filter
