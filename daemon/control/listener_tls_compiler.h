// ListenerTlsCompiler: from a listener's `tls` section and the files that it names to a context. Lives during one compilation.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/draft.h"
#include "snapshot/snapshot.h"

namespace sluice::control {

class ListenerTlsCompiler {
 public:
  /// `running`: certificates that did not change since are taken from it, unpacked or not; may be nullptr.
  ListenerTlsCompiler(const snapshot::Snapshot* running, Diagnostics& diagnostics, SourceFiles& sources);

  /// `node`: the section. What is returned has no context after an error.
  [[nodiscard]] snapshot::TlsServerSpec compile(const TlsServerDraft& draft, const snapshot::ListenerSpec& listener,
                                                const Node& node);

 private:
  using CertificateRef = std::shared_ptr<const tls::Certificate>;

  [[nodiscard]] CertificateRef read(const TlsCertificateDraft& draft);
  void check_early_data(const TlsServerDraft& draft, const Node& node);
  [[nodiscard]] bool read_tickets(const TlsServerDraft& draft, std::vector<std::string>& contents);
  [[nodiscard]] bool check_ciphers(const Node& list);
  void check_versions(const TlsServerDraft& draft, const Node& node);
  void report(const Node& file, std::string_view key, const std::string& why);

  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::unordered_multimap<std::string_view, CertificateRef> known_;  // by certificate_pem
};

}  // namespace sluice::control
