// ListenerCompiler: from drafts to the listeners and the admin listener: addresses that are valid and differ,
// limits that fit together, the admin's token. Opens no socket; lives during one compilation.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/draft.h"
#include "control/listener_tls_compiler.h"
#include "snapshot/spec.h"

namespace sluice::control {

class ListenerCompiler {
 public:
  /// `running`: certificates that did not change since are taken from it; may be nullptr.
  ListenerCompiler(const snapshot::Snapshot* running, Diagnostics& diagnostics, SourceFiles& sources,
                   SourceFiles& certificates)
      : tls_(running, diagnostics, certificates), diagnostics_(diagnostics), sources_(sources) {}

  std::vector<snapshot::ListenerSpec> compile(std::span<ListenerDraft> drafts);
  snapshot::AdminSpec compile(const AdminDraft& draft);

 private:
  void check_limits(const ListenerDraft& draft);
  void claim(const SocketAddress& address, Place place);
  void read_token(const Node& file, std::string& token);

  ListenerTlsCompiler tls_;
  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::unordered_map<std::string, Place> taken_;  // by address
};

}  // namespace sluice::control
