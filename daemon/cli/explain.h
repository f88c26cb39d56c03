// `sluice explain METHOD URL`: takes a request through the same steps as the proxy (target, normalisation,
// route table, rewrite) and tells what each of them made of it. Sends nothing.
#pragma once

#include <string>

#include "cli/options.h"
#include "snapshot/snapshot.h"

namespace sluice::cli {

/// Returns the exit code.
int explain(const Options& options);

struct Explanation {
  std::string text;
  ExitCode exit_code = kOk;
};
Explanation explain_request(const snapshot::Snapshot& snapshot, const Options& options);

}  // namespace sluice::cli
