// Giving up root once everything that needs it is open (process.user, process.group). Under systemd the unit's User= and
// AmbientCapabilities= do this better, and none of this is used.
#pragma once

#include <string>

namespace sluice::cli {

/// Becomes `user` with `group` (empty: the user's own) and the user's supplementary groups, in all threads and for good; that
/// it worked is verified. `own_file`, if not empty, is given to the user first, so that a log which root made can be reopened.
/// Returns what is wrong, or an empty text.
[[nodiscard]] std::string drop_privileges(const std::string& user, const std::string& group,
                                          const std::string& own_file);

}  // namespace sluice::cli
