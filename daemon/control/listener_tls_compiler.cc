#include "control/listener_tls_compiler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/clock.h"
#include "base/format.h"
#include "control/load.h"
#include "control/values.h"
#include "tls/ciphers.h"
#include "tls/server_context.h"

namespace sluice::control {

namespace {

using snapshot::TlsServerSpec;
using tls::Failure;

}  // namespace

ListenerTlsCompiler::ListenerTlsCompiler(const snapshot::Snapshot* running, Diagnostics& diagnostics,
                                         SourceFiles& sources)
    : diagnostics_(diagnostics), sources_(sources) {
  if (running == nullptr) return;
  for (const snapshot::ListenerSpec& listener : running->listeners) {
    if (!listener.tls) continue;
    for (const CertificateRef& certificate : listener.tls->certificates) {
      known_.emplace(certificate->files().certificate_pem, certificate);
    }
  }
}

TlsServerSpec ListenerTlsCompiler::compile(const TlsServerDraft& draft, const snapshot::ListenerSpec& listener,
                                           const Node& node) {
  TlsServerSpec spec = draft.spec;
  check_versions(draft, node);
  const bool known_ciphers = draft.ciphers == nullptr || check_ciphers(*draft.ciphers);
  if (draft.client_ca_file == nullptr && node.find("client_certificate") != nullptr) {
    diagnostics_.error(node.find_entry("client_certificate")->key_place,
                       "\"client_certificate\" is used with \"client_ca_file\" only");
  }
  const Node* list = node.find("certificates");
  const bool is_empty =
      list != nullptr && (list->kind == Node::Kind::null || list->kind == Node::Kind::list) && list->entries.empty();
  if (is_empty) diagnostics_.error(list->place, "a listener with TLS needs at least one certificate");
  if (!spec.session_tickets && !draft.ticket_key_files.empty()) {
    diagnostics_.error(draft.ticket_key_files.front()->place,
                       "ticket_key_files is not used with session_tickets: false");
  }
  if (spec.early_data) check_early_data(draft, node);
  for (const TlsCertificateDraft& certificate : draft.certificates) {
    if (CertificateRef made = read(certificate)) spec.certificates.push_back(std::move(made));
  }
  std::string client_ca;
  std::vector<std::string> ticket_keys;
  bool good = read_named_file(draft.client_ca_file, "client_ca_file", client_ca, diagnostics_, sources_);
  good = read_tickets(draft, ticket_keys) && good && known_ciphers;
  SL_ASSERT(!spec.certificates.empty() || diagnostics_.error_count() > 0);
  if (!good || spec.certificates.empty() || spec.certificates.size() < draft.certificates.size()) return spec;

  Failure failure;
  tls::ServerContext::Options options{
      .certificates = spec.certificates,
      .tls12 = spec.min_version == TlsServerSpec::Version::tls12,
      .tls13 = spec.max_version == TlsServerSpec::Version::tls13,
      .alpn = {"http/1.1"},
      .client_ca_pem = std::move(client_ca),
      .name = listener.name,
  };
  if (listener.http2) options.alpn.insert(options.alpn.begin(), "h2");
  if (!options.tls12 && !options.tls13) return spec;  // reported
  if (draft.ciphers != nullptr) options.ciphers = draft.ciphers->text;
  if (draft.client_ca_file != nullptr) {
    const bool required = spec.client_certificate == TlsServerSpec::ClientCertificate::required;
    options.client_certificates = required ? tls::ClientCertificates::required : tls::ClientCertificates::optional;
  }
  // Who is let in by a certificate shows it each time: a session would outlive the certificate, and who vouched for it.
  if (spec.session_tickets && draft.client_ca_file == nullptr) {
    options.tickets = ticket_keys.empty() ? tls::TicketKeys::own() : tls::TicketKeys::of_files(ticket_keys, failure);
    if (options.tickets == nullptr) report(*draft.ticket_key_files[failure.which], "ticket_key_files", failure.why);
    if (options.tickets == nullptr) return spec;
    options.early_data = spec.early_data;
  }
  spec.context = tls::ServerContext::make(std::move(options), failure);
  if (spec.context != nullptr) return spec;
  if (failure.part == Failure::Part::ca) {
    report(*draft.client_ca_file, "client_ca_file", failure.why);
  } else {
    diagnostics_.error(draft.ciphers->place, fmt::format("ciphers: {}", failure.why));
  }
  return spec;
}

void ListenerTlsCompiler::check_versions(const TlsServerDraft& draft, const Node& node) {
  if (draft.spec.min_version <= draft.spec.max_version) return;
  const Node* max = node.find("max_version");
  const Node* min = node.find("min_version");
  diagnostics_.error((min != nullptr ? min : max)->place, "min_version is newer than max_version");
}

// What has to be there for a client to have something to send it by.
void ListenerTlsCompiler::check_early_data(const TlsServerDraft& draft, const Node& node) {
  const auto refuse = [&](std::string_view why) {
    diagnostics_.error(node.find("early_data")->place, fmt::format("early_data: {}", why));
  };
  if (!draft.spec.session_tickets) refuse("it needs session_tickets");
  if (draft.spec.max_version == TlsServerSpec::Version::tls12) refuse("it needs TLS 1.3, which max_version forbids");
  if (draft.client_ca_file != nullptr) {
    refuse("not with client_ca_file: who sends it has not shown the certificate yet");
  }
}

bool ListenerTlsCompiler::check_ciphers(const Node& list) {
  const std::vector<std::string_view> unknown = tls::unknown_ciphers(list.text);
  for (const std::string_view word : unknown) {
    Suggestion suggestion(word);
    for (const std::string& name : tls::cipher_names()) suggestion.consider(name);
    diagnostics_.error(list.place, fmt::format("ciphers: OpenSSL has no cipher of TLS 1.2 for \"{}\"{}",
                                               shortened(word), suggestion.text()));
  }
  return unknown.empty();
}

ListenerTlsCompiler::CertificateRef ListenerTlsCompiler::read(const TlsCertificateDraft& draft) {
  if (draft.cert_file == nullptr || draft.key_file == nullptr) return nullptr;  // reported
  tls::Certificate::Files files;
  bool good = read_named_file(draft.cert_file, "cert_file", files.certificate_pem, diagnostics_, sources_);
  good = read_named_file(draft.key_file, "key_file", files.key_pem, diagnostics_, sources_) && good;
  good = read_named_file(draft.ocsp_file, "ocsp_file", files.ocsp_der, diagnostics_, sources_) && good;
  if (!good) return nullptr;
  if (draft.ocsp_file != nullptr && files.ocsp_der.empty()) report(*draft.ocsp_file, "ocsp_file", "it is empty");
  const auto [first, last] = known_.equal_range(files.certificate_pem);
  const auto same = std::find_if(first, last, [&](const auto& known) { return known.second->files() == files; });
  Failure failure;
  CertificateRef made = same != last ? same->second : tls::Certificate::make(std::move(files), failure);
  if (made == nullptr) {
    using Part = Failure::Part;
    const bool is_key = failure.part == Part::key;
    const Node& file = is_key ? *draft.key_file : failure.part == Part::ocsp ? *draft.ocsp_file : *draft.cert_file;
    report(file, is_key ? "key_file" : failure.part == Part::ocsp ? "ocsp_file" : "cert_file", failure.why);
    return nullptr;
  }
  if (made->expires() * 1'000'000 < wall_now().count()) {
    diagnostics_.warning(draft.cert_file->place, fmt::format("cert_file: {} has expired; clients will refuse it",
                                                             resolve_path(diagnostics_, *draft.cert_file)));
  }
  if (same == last) known_.emplace(made->files().certificate_pem, made);
  return made;
}

bool ListenerTlsCompiler::read_tickets(const TlsServerDraft& draft, std::vector<std::string>& contents) {
  bool good = true;
  for (const Node* file : draft.ticket_key_files) {
    good = read_named_file(file, "ticket_key_files", contents.emplace_back(), diagnostics_, sources_) && good;
  }
  return good;
}

void ListenerTlsCompiler::report(const Node& file, std::string_view key, const std::string& why) {
  diagnostics_.error(file.place, fmt::format("{}: {} cannot be used: {}", key, resolve_path(diagnostics_, file), why));
}

}  // namespace sluice::control
