// ClientTlsCompiler: the `tls` section of upstreams and stores to a TlsClientSpec: reads its files and makes the context. Lives
// during one compilation.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/draft.h"

namespace sluice::control {

class ClientTlsCompiler {
 public:
  ClientTlsCompiler(Diagnostics& diagnostics, SourceFiles& sources) : diagnostics_(diagnostics), sources_(sources) {}

  /// Nothing without TLS: there is no `section`, or it says so. `alpn` as in TlsClientSpec. What is wrong is reported.
  [[nodiscard]] std::optional<snapshot::TlsClientSpec> compile(const TlsClientDraft& draft, const Node* section,
                                                               std::vector<std::string> alpn);
  /// For an endpoint at `place` that is a unix socket.
  void refuse_unix(Place place) { diagnostics_.error(place, "TLS is not possible over a unix socket"); }

 private:
  void check(const TlsClientDraft& draft, const Node& section);
  void make_context(const TlsClientDraft& draft, snapshot::TlsClientSpec& spec);

  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::vector<snapshot::TlsClientSpec> made_;  // those with different contexts: many upstreams may share one
};

}  // namespace sluice::control
