#include "common/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <cstdlib>

namespace sluice {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

namespace {

// No memory, or no SHA-256: nothing may go on with a digest that is none.
void must(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  must(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

// Again with the digest that the context has: to name it would look it up each time.
void Sha256::begin() const { must(EVP_DigestInit_ex2(context_.get(), nullptr, nullptr) == 1); }

void Sha256::add(std::string_view piece) const {
  must(EVP_DigestUpdate(context_.get(), piece.data(), piece.size()) == 1);
}

Digest Sha256::finish() const {
  Digest digest;
  must(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
  return digest;
}

Digest Sha256::operator()(std::initializer_list<std::string_view> pieces) const {
  begin();
  for (const std::string_view piece : pieces) add(piece);
  return finish();
}

std::optional<Digest> parse_digest(std::string_view hex) {
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  Digest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < digest.size(); ++i) {
    const int high = value(hex[2 * i]);
    const int low = value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return digest;
}

Digest random_digest() {
  Digest digest;
  if (RAND_bytes(digest.data(), static_cast<int>(digest.size())) != 1) std::abort();
  return digest;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace sluice
