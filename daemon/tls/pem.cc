#include "tls/pem.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/format.h"

namespace sluice::tls {

namespace {

BioPtr reader_of(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A key that is encrypted must not make OpenSSL ask on the terminal.
int no_password(char*, int, int, void*) { return -1; }

// OpenSSL's decoder of keys, kept, since setting it up takes ten times as long as a key.
class KeyDecoder {
 public:
  KeyDecoder()
      : context_(OSSL_DECODER_CTX_new_for_pkey(&key_, "PEM", nullptr, nullptr, EVP_PKEY_KEYPAIR, nullptr, nullptr)) {
    OSSL_DECODER_CTX_set_pem_password_cb(context_.get(), no_password, nullptr);
  }
  /// nullptr for what is not simply one key.
  KeyPtr decode(const std::string& pem) {
    const auto* at = reinterpret_cast<const unsigned char*>(pem.data());
    size_t size = pem.size();
    key_ = nullptr;
    OSSL_DECODER_from_data(context_.get(), &at, &size);
    return KeyPtr(key_);
  }

 private:
  EVP_PKEY* key_ = nullptr;
  std::unique_ptr<OSSL_DECODER_CTX, FreeBy<OSSL_DECODER_CTX_free>> context_;
};

}  // namespace

const char* last_error() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason != nullptr ? reason : "unknown error";
}

std::vector<CertificatePtr> read_certificates(const std::string& pem, std::string& why) {
  ERR_clear_error();
  std::vector<CertificatePtr> certificates;
  const BioPtr bio = reader_of(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)) {
    certificates.emplace_back(certificate);
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    why = fmt::format("certificate {} in it cannot be read: {}", certificates.size() + 1, last_error());
    certificates.clear();
  } else if (certificates.empty()) {
    why = "there is no certificate in it";
  }
  ERR_clear_error();
  return certificates;
}

KeyPtr read_key(const std::string& pem, std::string& why) {
  ERR_clear_error();
  thread_local KeyDecoder decoder;
  KeyPtr key = decoder.decode(pem);
  if (key == nullptr) {  // say, since its parameters stand before it, or somebody's certificate
    ERR_clear_error();
    const BioPtr bio = reader_of(pem);
    key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  }
  if (key == nullptr) {
    const auto holds = [&](std::string_view words) { return pem.find(words) != std::string::npos; };
    why = !holds("PRIVATE KEY-----") ? "there is no private key in it"
          : holds("ENCRYPTED")       ? "the key is encrypted; write it without a password"
                                     : fmt::format("the key cannot be read: {}", last_error());
  }
  ERR_clear_error();
  return key;
}

}  // namespace sluice::tls
