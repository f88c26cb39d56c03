#include "cli/routes.h"

#include <cstdio>

#include "base/format.h"
#include "cli/configuration.h"
#include "snapshot/explain.h"

namespace sluice::cli {

int routes(const Options& options) {
  const auto snapshot = load_configuration(options).snapshot;
  if (snapshot == nullptr) return kConfigurationError;
  fmt::print("{}", snapshot::route_list_text(snapshot->routes, snapshot->clusters));
  return kOk;
}

}  // namespace sluice::cli
