// From the drafts of stores to their specs: keys that fit the type, addresses that are valid and differ, the password from its
// file, certificates and keys from theirs. Opens no socket.
#pragma once

#include <span>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/draft.h"
#include "snapshot/spec.h"

namespace sluice::control {

std::vector<snapshot::StoreSpec> compile_stores(std::span<StoreDraft> drafts, Diagnostics& diagnostics,
                                                SourceFiles& sources);

}  // namespace sluice::control
