// `sluice routes`: the routes as a table, in the order of the file.
#pragma once

#include <string>

#include "cli/options.h"
#include "snapshot/snapshot.h"

namespace sluice::cli {

/// Returns the exit code.
int routes(const Options& options);

std::string routes_text(const snapshot::Snapshot& snapshot);
/// Where a route leads: "upstream users", "users 95, users-v2 5", "answer 200", "redirect 308 to /x", "files in /srv/www".
std::string destination_of(const snapshot::RouteSpec& route, const snapshot::Snapshot& snapshot);
/// "GET, PUT"; "any" if a route takes all of them.
std::string methods_text(http::MethodSet methods);

}  // namespace sluice::cli
