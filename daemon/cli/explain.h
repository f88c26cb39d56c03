// `sluice explain METHOD URL`: takes a request through the same steps as the proxy (target, normalisation,
// route table, rewrite) and tells what each of them made of it. Sends nothing; with --admin it asks the running gateway what
// its plugins take.
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
/// `metrics`: what the running gateway's /metrics say, or nothing.
Explanation explain_request(const snapshot::Snapshot& snapshot, const Options& options, std::string_view metrics = {});

}  // namespace sluice::cli
