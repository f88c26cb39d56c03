// What a client says first to a listener with TLS, whole and in two pieces, and then nothing more.
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "check.h"
#include "tls/server_context.h"

using namespace sluice;
using event::IoStatus;

namespace {

std::string text_of(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return {bytes, static_cast<size_t>(size)};
}

tls::Certificate::Files make_files() {
  const tls::KeyPtr key(EVP_EC_gen("P-256"));
  const tls::CertificatePtr certificate(X509_new());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600L * 24 * 365);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("a.test"), -1, -1, 0);
  FUZZ_CHECK(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
  const tls::BioPtr certificate_pem(BIO_new(BIO_s_mem()));
  const tls::BioPtr key_pem(BIO_new(BIO_s_mem()));
  FUZZ_CHECK(PEM_write_bio_X509(certificate_pem.get(), certificate.get()) == 1);
  FUZZ_CHECK(PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return {.certificate_pem = text_of(certificate_pem.get()), .key_pem = text_of(key_pem.get()), .ocsp_der = {}};
}

std::shared_ptr<const tls::ServerContext> make_context(bool early_data) {
  tls::Failure failure;
  auto certificate = tls::Certificate::make(make_files(), failure);
  FUZZ_CHECK(certificate != nullptr);
  auto context = tls::ServerContext::make({.certificates = {std::move(certificate)},
                                           .alpn = {"http/1.1"},
                                           .tickets = tls::TicketKeys::own(),
                                           .early_data = early_data},
                                          failure);
  FUZZ_CHECK(context != nullptr);
  return context;
}

// Why the handshake of a client failed that said this, with a pause at `cut`, and closed.
Reason outcome_of(std::string_view said, size_t cut, bool early_data = false) {
  static const auto plain = make_context(false), early = make_context(true);
  const auto& context = early_data ? early : plain;
  int ends[2];
  FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const std::unique_ptr<tls::Channel> channel = context->accept(ours.get());
  IoStatus status = IoStatus::again;
  for (const std::string_view piece : {said.substr(0, cut), said.substr(cut)}) {
    FUZZ_CHECK(::send(theirs.get(), piece.data(), piece.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(piece.size()));
    if (status == IoStatus::again) status = channel->handshake().status;
  }
  ::shutdown(theirs.get(), SHUT_WR);
  if (status == IoStatus::again) status = channel->handshake().status;
  // Nobody can finish a handshake without having heard the server.
  FUZZ_CHECK(status == IoStatus::error);
  FUZZ_CHECK(channel->handshake_failure() != Reason::none);
  FUZZ_CHECK(channel->failure()[0] != '\0');
  return channel->handshake_failure();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view said(reinterpret_cast<const char*>(data), std::min<size_t>(size, 32 * 1024));
  const size_t cut = said.empty() ? 0 : static_cast<unsigned char>(said.back()) % said.size();
  FUZZ_CHECK(outcome_of(said, 0) == outcome_of(said, cut));
  FUZZ_CHECK(outcome_of(said, 0) == outcome_of(said, cut, true));
  return 0;
}
