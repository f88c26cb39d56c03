#include "common/verify_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>

namespace sluice {

namespace {

template <auto Function>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
template <typename T, auto Function>
using Owned = std::unique_ptr<T, Freed<Function>>;
using Number = Owned<BIGNUM, BN_free>;

// What libcrypto found wrong must not be found again by whoever uses it next on this thread.
struct ErrorsForgotten {
  ~ErrorsForgotten() { ERR_clear_error(); }
};

struct CurveRow {
  KeyKind kind;
  const char* name;
  const char* other_name;
  size_t bytes;  // of a coordinate, and of the order
};
constexpr CurveRow kCurves[] = {{KeyKind::p256, "P-256", "prime256v1", 32},
                                {KeyKind::p384, "P-384", "secp384r1", 48},
                                {KeyKind::p521, "P-521", "secp521r1", 66}};

const CurveRow* curve_of(KeyKind kind) {
  for (const CurveRow& row : kCurves) {
    if (row.kind == kind) return &row;
  }
  return nullptr;
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Number number_of(std::string_view bytes) {
  return Number(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

const EVP_MD* digest_of(Hash hash) {
  switch (hash) {
    case Hash::sha256: return EVP_sha256();
    case Hash::sha384: return EVP_sha384();
    case Hash::sha512: break;
  }
  return EVP_sha512();
}

bool fits(KeyKind kind, Scheme scheme) {
  switch (scheme) {
    case Scheme::hmac: return kind == KeyKind::secret;
    case Scheme::rsa_pkcs1:
    case Scheme::rsa_pss: return kind == KeyKind::rsa;
    case Scheme::ecdsa: return curve_of(kind) != nullptr;
    case Scheme::ed25519: return kind == KeyKind::ed25519;
  }
  return false;
}

bool is_good_rsa(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < VerifyKey::kMinRsaBits || bits > VerifyKey::kMaxRsaBits) return false;
  BIGNUM* n = nullptr;
  BIGNUM* e = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n);
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e);
  const Number modulus(n);
  const Number exponent(e);
  // A long exponent makes a check a hundred times as expensive.
  return n != nullptr && e != nullptr && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64;
}

// Points of small order (their y, little-endian, the two that are not reduced included): with one of these as a key, libcrypto finds that
// a signature of zeros holds for every fourth text. A key of zeros, as a mistake leaves one, is the first.
bool is_good_ed25519(const EVP_PKEY* key) {
  using Point = std::array<unsigned char, 32>;
  const auto nearly_p = [](unsigned char lowest) {
    Point point;
    point.fill(0xff);
    point.front() = lowest;
    point.back() = 0x7f;
    return point;
  };
  static const Point kSmall[] = {
      {0},
      {1},
      {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
       0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
      {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
       0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
      nearly_p(0xec),
      nearly_p(0xed),
      nearly_p(0xee)};
  Point point;
  size_t size = point.size();
  if (EVP_PKEY_get_raw_public_key(key, point.data(), &size) != 1) return false;
  point.back() &= 0x7f;  // the sign of x
  return std::find(std::begin(kSmall), std::end(kSmall), point) == std::end(kSmall);
}

std::optional<KeyKind> kind_of(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) return is_good_rsa(key) ? std::optional(KeyKind::rsa) : std::nullopt;
  if (EVP_PKEY_is_a(key, "ED25519")) return is_good_ed25519(key) ? std::optional(KeyKind::ed25519) : std::nullopt;
  std::array<char, 32> name{};
  if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, name.data(), name.size(), nullptr) != 1)
    return std::nullopt;
  for (const CurveRow& row : kCurves) {
    if (std::string_view(name.data()) == row.name || std::string_view(name.data()) == row.other_name) return row.kind;
  }
  return std::nullopt;
}

// A new public key, or nullptr.
EVP_PKEY* make_key(const char* type, OSSL_PARAM_BLD* parameters) {
  const Owned<OSSL_PARAM, OSSL_PARAM_free> list(OSSL_PARAM_BLD_to_param(parameters));
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (list == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, list.get()) != 1)
    return nullptr;
  return key;
}

// R and S, as JOSE writes them, in DER, as libcrypto reads them; empty if they are not of that length.
std::string to_der(const CurveRow& curve, std::string_view signature) {
  if (signature.size() != 2 * curve.bytes) return {};
  Number r = number_of(signature.substr(0, curve.bytes));
  Number s = number_of(signature.substr(curve.bytes));
  const Owned<ECDSA_SIG, ECDSA_SIG_free> pair(ECDSA_SIG_new());
  if (r == nullptr || s == nullptr || pair == nullptr) return {};
  ECDSA_SIG_set0(pair.get(), r.release(), s.release());
  const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (size <= 0) return {};
  std::string der(static_cast<size_t>(size), '\0');
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(pair.get(), &at);
  return der;
}

}  // namespace

void VerifyKey::Free::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

VerifyKey::VerifyKey(KeyKind kind, std::string secret, Handle handle)
    : kind_(kind), secret_(std::move(secret)), handle_(std::move(handle)) {}

VerifyKey VerifyKey::of_secret(std::string_view secret) {
  return VerifyKey(KeyKind::secret, std::string(secret), nullptr);
}

std::optional<VerifyKey> VerifyKey::of_handle(Handle handle) {
  if (handle == nullptr) return std::nullopt;
  const auto kind = kind_of(handle.get());
  if (!kind) return std::nullopt;
  return VerifyKey(*kind, {}, std::move(handle));
}

std::optional<VerifyKey> VerifyKey::of_rsa(std::string_view modulus, std::string_view exponent) {
  const ErrorsForgotten forgotten;
  if (modulus.size() > kMaxRsaBits / 8 || exponent.size() > 8) return std::nullopt;
  const Number n = number_of(modulus);
  const Number e = number_of(exponent);
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> parameters(OSSL_PARAM_BLD_new());
  if (n == nullptr || e == nullptr || parameters == nullptr) return std::nullopt;
  OSSL_PARAM_BLD_push_BN(parameters.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(parameters.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  return of_handle(Handle(make_key("RSA", parameters.get())));
}

std::optional<VerifyKey> VerifyKey::of_ec(KeyKind kind, std::string_view x, std::string_view y) {
  const ErrorsForgotten forgotten;
  const CurveRow* curve = curve_of(kind);
  if (curve == nullptr || x.size() != curve->bytes || y.size() != curve->bytes) return std::nullopt;
  const std::string point = std::string(1, '\4').append(x).append(y);  // uncompressed: SEC 1 §2.3.3
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> parameters(OSSL_PARAM_BLD_new());
  if (parameters == nullptr) return std::nullopt;
  OSSL_PARAM_BLD_push_utf8_string(parameters.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0);
  OSSL_PARAM_BLD_push_octet_string(parameters.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  return of_handle(Handle(make_key("EC", parameters.get())));  // refuses a point that is not on the curve
}

std::optional<VerifyKey> VerifyKey::of_ed25519(std::string_view x) {
  const ErrorsForgotten forgotten;
  return of_handle(Handle(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(x), x.size())));
}

std::optional<VerifyKey> VerifyKey::of_pem(std::string_view pem) {
  const ErrorsForgotten forgotten;
  const Owned<BIO, BIO_free> input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (input == nullptr) return std::nullopt;
  if (pem.find("-----BEGIN CERTIFICATE-----") == std::string_view::npos)
    return of_handle(Handle(PEM_read_bio_PUBKEY(input.get(), nullptr, nullptr, nullptr)));
  const Owned<X509, X509_free> certificate(PEM_read_bio_X509(input.get(), nullptr, nullptr, nullptr));
  return of_handle(Handle(certificate == nullptr ? nullptr : X509_get_pubkey(certificate.get())));
}

bool VerifyKey::operator==(const VerifyKey& other) const {
  if (kind_ != other.kind_) return false;
  return kind_ == KeyKind::secret ? secret_ == other.secret_ : EVP_PKEY_eq(handle_.get(), other.handle_.get()) == 1;
}

bool VerifyKey::hmac_holds(Hash hash, std::string_view signature, std::string_view message) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned size = 0;
  return HMAC(digest_of(hash), secret_.data(), static_cast<int>(secret_.size()), bytes_of(message), message.size(),
              mac.data(), &size) != nullptr &&
         signature.size() == size && CRYPTO_memcmp(mac.data(), signature.data(), size) == 0;
}

bool VerifyKey::holds(Scheme scheme, Hash hash, std::string_view signature, std::string_view message) const {
  if (!fits(kind_, scheme)) return false;
  const ErrorsForgotten forgotten;
  if (scheme == Scheme::hmac) return hmac_holds(hash, signature, message);
  std::string der;
  if (scheme == Scheme::ecdsa) {
    der = to_der(*curve_of(kind_), signature);
    signature = der;
  }
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* settings = nullptr;  // the context's
  const EVP_MD* digest = scheme == Scheme::ed25519 ? nullptr : digest_of(hash);
  if (context == nullptr || EVP_DigestVerifyInit(context.get(), &settings, digest, nullptr, handle_.get()) != 1)
    return false;
  if (scheme == Scheme::rsa_pss && (EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) != 1 ||
                                    EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) != 1))
    return false;
  return EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
}

}  // namespace sluice
