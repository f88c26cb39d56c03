// compile: a configuration, from its file to an immutable Snapshot, or to all of its errors. Control thread.
// Opens what the configuration names (static roots, the token file) but starts nothing and touches no socket.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "snapshot/snapshot.h"

namespace sluice::control {

struct CompileResult {
  std::shared_ptr<const snapshot::Snapshot> snapshot;  // null if there are errors
  snapshot::AdminSpec admin;                           // as far as it could be read, if there are errors
  std::vector<Diagnostic> errors;                      // in the order of files and lines
  std::vector<Diagnostic> warnings;
  SourceFiles sources;       // what was read, or tried, with errors too, but for
  SourceFiles certificates;  // the files of `tls` sections
};

/// `running` is what a reload replaces, or nullptr: plugins whose configuration is the same are kept.
CompileResult compile_file(const std::string& path, const snapshot::Snapshot* running = nullptr);
/// For a text that does not stand in a file; `name` is used in messages. `include` is refused, and relative
/// paths are relative to the current folder.
CompileResult compile_text(std::string_view yaml, std::string_view name);

}  // namespace sluice::control
