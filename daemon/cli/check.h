// `sluice check`: is the configuration right, and can every route match something?
#pragma once

#include "cli/options.h"

namespace sluice::cli {

/// Returns the exit code.
int check(const Options& options);

}  // namespace sluice::cli
