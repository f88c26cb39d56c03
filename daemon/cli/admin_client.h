// Asks the admin listener of a gateway that runs: one request on a connection of its own, waiting for the answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/options.h"
#include "snapshot/spec.h"

namespace sluice::cli {

struct AdminAnswer {
  int status = 0;
  std::string body;
};

/// `request_line`: "POST /reload". The answer is asked for as text. Nothing if there is no answer; then a sentence was
/// printed to standard error.
std::optional<AdminAnswer> ask_admin(const snapshot::AdminSpec& admin, std::string_view request_line);

/// `sluice reload`: has the running gateway read its configuration anew. 0, or kConfigurationError if it refused.
int reload(const Options& options);
/// `sluice diff`: what the configuration would change in the running gateway.
int diff(const Options& options);

}  // namespace sluice::cli
