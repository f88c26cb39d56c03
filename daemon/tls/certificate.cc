#include "tls/certificate.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/strings.h"

namespace sluice::tls {

namespace {

using Part = Failure::Part;

std::string text_of(const ASN1_STRING* text) {
  std::string lower(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                    static_cast<size_t>(ASN1_STRING_length(text)));
  std::transform(lower.begin(), lower.end(), lower.begin(), to_lower);
  return lower;
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* all = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    if (name->type == GEN_DNS) names.push_back(text_of(name->d.dNSName));
  }
  const bool has_names = all != nullptr;
  GENERAL_NAMES_free(all);
  if (has_names) return names;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) names.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  return names;
}

int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) : 0;
}

struct FreeOcsp {
  void operator()(OCSP_RESPONSE* response) const { OCSP_RESPONSE_free(response); }
  void operator()(OCSP_BASICRESP* basic) const { OCSP_BASICRESP_free(basic); }
};

// Until when the response (RFC 6960) can be stapled; 0: it is none for a good certificate.
int64_t end_of_ocsp(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<OCSP_RESPONSE, FreeOcsp> response(
      d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  if (response == nullptr || OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return 0;
  const std::unique_ptr<OCSP_BASICRESP, FreeOcsp> basic(OCSP_response_get1_basic(response.get()));
  OCSP_SINGLERESP* single = basic == nullptr ? nullptr : OCSP_resp_get0(basic.get(), 0);
  if (single == nullptr) return 0;
  ASN1_GENERALIZEDTIME* next = nullptr;
  const int status = OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next);
  if (status != V_OCSP_CERTSTATUS_GOOD) return 0;
  return next == nullptr ? std::numeric_limits<int64_t>::max() : seconds_of(next);
}

}  // namespace

std::shared_ptr<const Certificate> Certificate::make(Files files, Failure& failure) {
  const auto fail = [&failure](Part part, std::string why = {}) {
    failure.part = part;
    if (!why.empty()) failure.why = std::move(why);
    return nullptr;
  };
  const std::vector<CertificatePtr> certificates = read_certificates(files.certificate_pem, failure.why);
  if (certificates.empty()) return fail(Part::certificate);
  const KeyPtr key = read_key(files.key_pem, failure.why);
  if (key == nullptr) return fail(Part::key);
  const bool belongs = X509_check_private_key(certificates.front().get(), key.get()) == 1;
  ERR_clear_error();
  if (!belongs) return fail(Part::key, "the key does not belong to the certificate");
  const int64_t ocsp_until = files.ocsp_der.empty() ? 0 : end_of_ocsp(files.ocsp_der);
  ERR_clear_error();
  if (!files.ocsp_der.empty() && ocsp_until == 0) {
    return fail(Part::ocsp, "it holds no OCSP response, in DER, that says that the certificate is good");
  }
  const std::shared_ptr<Certificate> made(new Certificate(std::move(files)));
  made->names_ = names_of(certificates.front().get());
  made->expires_ = seconds_of(X509_get0_notAfter(certificates.front().get()));
  made->ocsp_until_ = ocsp_until;
  made->key_type_ = EVP_PKEY_get_base_id(key.get());
  return made;
}

Certificate::~Certificate() { OPENSSL_cleanse(files_.key_pem.data(), files_.key_pem.size()); }

void Certificate::unpack() const {
  std::string ignored;
  std::vector<CertificatePtr> certificates = read_certificates(files_.certificate_pem, ignored);
  key_ = read_key(files_.key_pem, ignored);
  SL_ASSERT(!certificates.empty() && key_ != nullptr);  // make() saw them
  leaf_ = std::move(certificates.front());
  chain_.reset(sk_X509_new_null());
  for (size_t i = 1; i < certificates.size(); ++i) sk_X509_push(chain_.get(), certificates[i].release());
}

// Once: it costs as much as it takes to unpack it, and thousands that did not change come again with each reload.
const char* Certificate::why_not_in(SSL_CTX* context) const {
  if (std::exchange(tried_, true)) return nullptr;
  std::string ignored;
  const std::vector<CertificatePtr> certificates = read_certificates(files_.certificate_pem, ignored);
  ChainPtr chain(sk_X509_new_null());
  for (size_t i = 1; i < certificates.size(); ++i) {
    X509_up_ref(certificates[i].get());
    sk_X509_push(chain.get(), certificates[i].get());
  }
  const SslPtr trial(SSL_new(context));
  const KeyPtr key = read_key(files_.key_pem, ignored);
  const bool good = SSL_use_cert_and_key(trial.get(), certificates.front().get(), key.get(), chain.get(), 1) == 1;
  const char* why = good ? nullptr : last_error();
  ERR_clear_error();
  return why;
}

bool Certificate::offer(SSL* ssl) const {
  std::call_once(unpacked_, [this] { unpack(); });
  constexpr int kInsteadOfOneOfItsKind = 1;
  return SSL_use_cert_and_key(ssl, leaf_.get(), key_.get(), chain_.get(), kInsteadOfOneOfItsKind) == 1;
}

}  // namespace sluice::tls
