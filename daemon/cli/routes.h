// `sluice routes`: the routes as a table, in the order of the file.
#pragma once

#include "cli/options.h"

namespace sluice::cli {

/// Returns the exit code.
int routes(const Options& options);

}  // namespace sluice::cli
