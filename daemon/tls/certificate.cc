#include "tls/certificate.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <span>
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

SSL_CTX* trial_context() {
  static const SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  SL_ASSERT(context != nullptr);
  return context.get();
}

struct FreeOcsp {
  void operator()(OCSP_RESPONSE* response) const { OCSP_RESPONSE_free(response); }
  void operator()(OCSP_BASICRESP* basic) const { OCSP_BASICRESP_free(basic); }
};

// By its number and its issuer's name (RFC 6960 §4.1.1). The issuer's key is not compared: nobody need know it here.
bool is_for(OCSP_SINGLERESP* response, X509* leaf) {
  ASN1_OBJECT* digest = nullptr;
  ASN1_OCTET_STRING* issuer = nullptr;
  ASN1_INTEGER* number = nullptr;
  OCSP_id_get0_info(&issuer, &digest, nullptr, &number, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(response)));
  const EVP_MD* method = EVP_get_digestbyobj(digest);
  unsigned char name[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (method == nullptr || X509_NAME_digest(X509_get_issuer_name(leaf), method, name, &size) != 1) return false;
  const std::span<const unsigned char> given(ASN1_STRING_get0_data(issuer),
                                             static_cast<size_t>(ASN1_STRING_length(issuer)));
  return ASN1_INTEGER_cmp(number, X509_get0_serialNumber(leaf)) == 0 &&
         std::ranges::equal(given, std::span(name, size));
}

struct Stapled {
  int64_t until = 0;
  const char* why_not = nullptr;
};

// Whether the response (RFC 6960) can be stapled to this certificate, and until when.
Stapled check_ocsp(const std::string& der, X509* leaf) {
  constexpr const char* kNone = "it holds no OCSP response, in DER, that says that the certificate is good";
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<OCSP_RESPONSE, FreeOcsp> response(
      d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  if (response == nullptr || OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return {.why_not = kNone};
  }
  const std::unique_ptr<OCSP_BASICRESP, FreeOcsp> basic(OCSP_response_get1_basic(response.get()));
  OCSP_SINGLERESP* single = nullptr;
  const int count = basic == nullptr ? 0 : OCSP_resp_count(basic.get());
  for (int i = 0; i < count && single == nullptr; ++i) {
    OCSP_SINGLERESP* one = OCSP_resp_get0(basic.get(), i);
    if (is_for(one, leaf)) single = one;
  }
  if (single == nullptr) return {.why_not = count == 0 ? kNone : "its OCSP response is for another certificate"};
  ASN1_GENERALIZEDTIME* next = nullptr;
  const int status = OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next);
  if (status != V_OCSP_CERTSTATUS_GOOD) return {.why_not = kNone};
  return {.until = next == nullptr ? std::numeric_limits<int64_t>::max() : seconds_of(next)};
}

}  // namespace

std::shared_ptr<const Certificate> Certificate::make(Files files, Failure& failure) {
  const auto fail = [&failure](Part part, std::string why = {}) {
    failure.part = part;
    if (!why.empty()) failure.why = std::move(why);
    return nullptr;
  };
  const auto unpacked = unpack(files, failure);
  if (!unpacked) return nullptr;
  X509* leaf = unpacked->leaf.get();
  const bool belongs = X509_check_private_key(leaf, unpacked->key.get()) == 1;
  ERR_clear_error();
  if (!belongs) return fail(Part::key, "the key does not belong to the certificate");
  // What OpenSSL's security level refuses, say a short key, it would refuse in each handshake.
  const SslPtr trial(SSL_new(trial_context()));
  const bool usable = unpacked->offer(trial.get());
  const char* const why_not = usable ? "" : last_error();
  ERR_clear_error();
  if (!usable) return fail(Part::certificate, why_not);
  const Stapled stapled = files.ocsp_der.empty() ? Stapled{} : check_ocsp(files.ocsp_der, leaf);
  ERR_clear_error();
  if (stapled.why_not != nullptr) return fail(Part::ocsp, stapled.why_not);
  const std::shared_ptr<Certificate> made(new Certificate(std::move(files)));
  made->names_ = names_of(leaf);
  made->expires_ = seconds_of(X509_get0_notAfter(leaf));
  made->ocsp_until_ = stapled.until;
  made->key_type_ = EVP_PKEY_get_base_id(unpacked->key.get());
  return made;
}

Certificate::~Certificate() { OPENSSL_cleanse(files_.key_pem.data(), files_.key_pem.size()); }

std::optional<Certificate::Unpacked> Certificate::unpack(const Files& files, Failure& failure) {
  failure.part = Part::certificate;
  std::vector<CertificatePtr> certificates = read_certificates(files.certificate_pem, failure.why);
  if (certificates.empty()) return std::nullopt;
  failure.part = Part::key;
  Unpacked made{.leaf = std::move(certificates.front()),
                .chain = ChainPtr(sk_X509_new_null()),
                .key = read_key(files.key_pem, failure.why)};
  if (made.key == nullptr) return std::nullopt;
  for (size_t i = 1; i < certificates.size(); ++i) sk_X509_push(made.chain.get(), certificates[i].release());
  return made;
}

bool Certificate::Unpacked::offer(SSL* ssl) const {
  constexpr int kInsteadOfOneOfItsKind = 1;
  return SSL_use_cert_and_key(ssl, leaf.get(), key.get(), chain.get(), kInsteadOfOneOfItsKind) == 1;
}

bool Certificate::offer(SSL* ssl) const {
  std::call_once(was_unpacked_, [this] {
    Failure ignored;  // make() saw it all
    unpacked_ = unpack(files_, ignored);
  });
  return unpacked_ && unpacked_->offer(ssl);
}

}  // namespace sluice::tls
