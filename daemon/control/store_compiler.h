// From the drafts of stores to their specs: keys that fit the type, addresses that are valid and differ, the password from its
// file, TLS by its own compiler. Opens no socket.
#pragma once

#include <span>
#include <vector>

#include "base/source_files.h"
#include "control/client_tls_compiler.h"
#include "control/diagnostic.h"
#include "control/draft.h"
#include "snapshot/spec.h"

namespace sluice::control {

std::vector<snapshot::StoreSpec> compile_stores(std::span<StoreDraft> drafts, ClientTlsCompiler& tls,
                                                Diagnostics& diagnostics, SourceFiles& sources);

}  // namespace sluice::control
