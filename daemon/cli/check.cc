#include "cli/check.h"

#include "base/format.h"
#include "cli/configuration.h"
#include "snapshot/route_table.h"

namespace sluice::cli {

namespace {
std::string counted(size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}
}  // namespace

int check(const Options& options) {
  const auto snapshot = load_configuration(options).snapshot;
  if (snapshot == nullptr) return kConfigurationError;
  for (const snapshot::RouteWarning& warning : snapshot::find_shadowed(snapshot->routes)) {
    print({.file = snapshot->routes[warning.route].source, .message = warning.message}, control::Severity::warning);
  }
  fmt::print("{}: ok: {}, {}, {}\n", configuration_path(options), counted(snapshot->listeners.size(), "listener"),
             counted(snapshot->clusters.size(), "upstream"), counted(snapshot->routes.size(), "route"));
  return kOk;
}

}  // namespace sluice::cli
