// The first line is a pattern, the second a path. A pattern is refused at an offset inside it, or it can be written
// back, built into a table, and asked for the path; whatever matches has as many captures as the pattern has names.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "snapshot/pattern.h"
#include "snapshot/route_table.h"

using namespace sluice::snapshot;

namespace {
void require(bool condition) {
  if (!condition) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view pattern = input.substr(0, input.find('\n'));
  const auto checked = check_pattern(pattern);
  if (const auto* error = std::get_if<PatternError>(&checked)) {
    require(error->at <= pattern.size() && !error->message.empty());
    return 0;
  }
  std::string written;
  for (const Segment& segment : parsed_pattern(pattern)) written += "/" + to_string(segment);
  require(written == pattern);

  RouteSpec route;
  route.match.path = pattern;
  const RouteTable table = RouteTable::build({&route, 1});
  RouteMatch match;
  const std::string_view path =
      pattern.size() < input.size() ? input.substr(pattern.size() + 1) : std::string_view("/");
  table.find({.host = "a.test", .path = path, .query = {}}, match);
  if (match.outcome == RouteMatch::Outcome::matched) require(match.capture_count == std::get<0>(checked).size());
  return 0;
}
