// `sluice run`: builds the parts of the gateway, wires them, and waits for a signal. Everything with behaviour of its own
// lives on a lower floor.
#pragma once

#include <memory>

#include "snapshot/snapshot.h"

namespace sluice::cli {

struct RunOptions {
  std::string version;
};

/// Runs until SIGTERM or SIGINT. Returns the process's exit code: 0 after a clean end, 1 if it could not start.
int run_gateway(std::shared_ptr<const snapshot::Snapshot> snapshot, const RunOptions& options);

}  // namespace sluice::cli
