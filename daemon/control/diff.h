// diff: what changes from one configuration to another, in words: 'route "users": timeout: 5s -> 10s'. It compares the
// texts that /config shows (Snapshot::redacted_yaml), so it works against a gateway that runs elsewhere, and a secret
// never shows; that a hidden value changed is not seen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "snapshot/snapshot.h"

namespace sluice::control {

/// One sentence per change: process and the like first, then listeners, upstreams and routes. Empty: nothing changes.
std::vector<std::string> diff(std::string_view running_yaml, std::string_view next_yaml);

/// What those texts cannot show: files of certificates, keys and passwords that hold something else now.
std::vector<std::string> changed_contents(const snapshot::Snapshot& running, const snapshot::Snapshot& next);

}  // namespace sluice::control
