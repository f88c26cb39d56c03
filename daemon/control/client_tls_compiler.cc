#include "control/client_tls_compiler.h"

#include <algorithm>
#include <utility>

#include "base/address.h"
#include "base/format.h"
#include "control/load.h"
#include "control/values.h"
#include "tls/client_context.h"

namespace sluice::control {

using snapshot::TlsClientSpec;

namespace {

// What certificates can be checked for. OpenSSL would take an empty C string for any name.
bool is_server_name(const std::string& name) {
  return SocketAddress::parse_ip(name).has_value() || parse_host_and_port(name + ":1").has_value();
}

bool have_one_context(const TlsClientSpec& a, const TlsClientSpec& b) {
  TlsClientSpec same_name = a;
  same_name.server_name = b.server_name;
  return same_name == b;
}

}  // namespace

std::optional<TlsClientSpec> ClientTlsCompiler::compile(const TlsClientDraft& draft, const Node* section,
                                                        std::vector<std::string> alpn) {
  if (section == nullptr || !draft.enabled) return std::nullopt;
  check(draft, *section);
  TlsClientSpec spec = draft.spec;
  spec.alpn = std::move(alpn);
  if (draft.ca_file == nullptr && spec.verify) {
    const std::string system = tls::ClientContext::system_ca_file();
    sources_.add(system);
    spec.ca_stamp = sources_.files().at(system);
  }
  bool read = read_named_file(draft.ca_file, "ca_file", spec.ca_pem, diagnostics_, sources_);
  read = read_named_file(draft.cert_file, "cert_file", spec.certificate_pem, diagnostics_, sources_) && read;
  read = read_named_file(draft.key_file, "key_file", spec.key_pem, diagnostics_, sources_) && read;
  // Empty would mean that there is none.
  const auto hold = [](const Node* file, std::string& pem) {
    if (file != nullptr && pem.empty()) pem = "\n";
  };
  hold(draft.ca_file, spec.ca_pem);
  hold(draft.cert_file, spec.certificate_pem);
  if (read) make_context(draft, spec);
  return spec;
}

void ClientTlsCompiler::check(const TlsClientDraft& draft, const Node& section) {
  const std::string& name = draft.spec.server_name;
  if (!name.empty() && !is_server_name(name)) {
    diagnostics_.error(section.find("server_name")->place,
                       fmt::format("server_name: \"{}\" is neither a host name nor an IP address", shortened(name)));
  }
  if ((draft.cert_file == nullptr) != (draft.key_file == nullptr)) {
    diagnostics_.error(draft.cert_file != nullptr ? draft.cert_file->place : draft.key_file->place,
                       "\"cert_file\" and \"key_file\" belong together");
  }
  if (!draft.spec.verify) {
    diagnostics_.warning(section.find_entry("verify")->key_place,
                         "verify: false: the servers' certificates are not looked at, so anybody may pose as them");
  }
}

// One that trusts the system's authorities takes 31 ms to make: once, not for each upstream.
void ClientTlsCompiler::make_context(const TlsClientDraft& draft, TlsClientSpec& spec) {
  const auto same =
      std::find_if(made_.begin(), made_.end(), [&](const TlsClientSpec& made) { return have_one_context(made, spec); });
  if (same != made_.end()) {
    spec.context = same->context;
    return;
  }
  tls::ClientContext::Failure failure;
  spec.context = tls::ClientContext::make({.ca_pem = spec.ca_pem,
                                           .certificate_pem = spec.certificate_pem,
                                           .key_pem = spec.key_pem,
                                           .verify = spec.verify,
                                           .alpn = spec.alpn},
                                          failure);
  if (spec.context != nullptr) {
    made_.push_back(spec);
    return;
  }
  if ((draft.cert_file == nullptr) != (draft.key_file == nullptr)) return;  // reported
  using Part = tls::ClientContext::Failure::Part;
  const bool is_key = failure.part == Part::key;
  const Node& file = failure.part == Part::ca ? *draft.ca_file : is_key ? *draft.key_file : *draft.cert_file;
  const char* key = failure.part == Part::ca ? "ca_file" : is_key ? "key_file" : "cert_file";
  diagnostics_.error(file.place,
                     fmt::format("{}: {} cannot be used: {}", key, resolve_path(diagnostics_, file), failure.why));
}

}  // namespace sluice::control
