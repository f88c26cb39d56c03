#include "tls/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/format.h"

namespace sluice::tls {

namespace {

TicketKeys::Key random_key() {
  TicketKeys::Key key;
  SL_ASSERT(RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) == 1);
  SL_ASSERT(RAND_priv_bytes(key.hmac.data(), static_cast<int>(key.hmac.size())) == 1);
  SL_ASSERT(RAND_priv_bytes(key.aes.data(), static_cast<int>(key.aes.size())) == 1);
  return key;
}

}  // namespace

TicketKeys::TicketKeys(std::function<MonoTime()> now) : now_(std::move(now)), keys_{random_key()}, made_(now_()) {}

std::shared_ptr<TicketKeys> TicketKeys::of_files(const std::vector<std::string>& contents, Failure& failure) {
  std::vector<Key> keys;
  for (const std::string& content : contents) {
    if (content.size() != kFileBytes) {
      failure = {.part = Failure::Part::ticket_key,
                 .why = fmt::format("it holds {} bytes, and not {} random ones", content.size(), kFileBytes),
                 .which = keys.size()};
      return nullptr;
    }
    Key& key = keys.emplace_back();
    std::memcpy(key.name.data(), content.data(), key.name.size());
    std::memcpy(key.hmac.data(), content.data() + 16, key.hmac.size());
    std::memcpy(key.aes.data(), content.data() + 48, key.aes.size());
  }
  return std::shared_ptr<TicketKeys>(new TicketKeys(std::move(keys)));
}

const std::shared_ptr<TicketKeys>& TicketKeys::own() {
  static const auto keys = std::make_shared<TicketKeys>();
  return keys;
}

// One that nobody used for two rotations left no ticket that is still good.
void TicketKeys::rotate_if_due() {
  if (now_ == nullptr) return;
  const auto age = now_() - made_;
  if (age < kRotation) return;
  if (age < 2 * kRotation) {
    keys_.insert(keys_.begin(), random_key());
    keys_.resize(2);
  } else {
    keys_.assign(1, random_key());
  }
  made_ = now_();
}

TicketKeys::Key TicketKeys::current() {
  const std::lock_guard guard(lock_);
  rotate_if_due();
  return keys_.front();
}

std::optional<TicketKeys::Found> TicketKeys::find(const unsigned char* name) {
  const std::lock_guard guard(lock_);
  rotate_if_due();
  for (const Key& key : keys_) {
    if (std::memcmp(key.name.data(), name, key.name.size()) == 0) return Found{key, &key == &keys_.front()};
  }
  return std::nullopt;
}

int seal_or_open(TicketKeys& keys, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                 bool seal) {
  constexpr int kFailed = -1;
  constexpr int kUnknown = 0;
  constexpr int kGood = 1;
  constexpr int kGoodButOld = 2;
  const auto found = seal ? std::optional(TicketKeys::Found{keys.current(), true}) : keys.find(name);
  if (!found) return kUnknown;
  TicketKeys::Key key = found->key;
  if (seal) {
    std::memcpy(name, key.name.data(), key.name.size());
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return kFailed;
  }
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.hmac.data(), key.hmac.size()),
                             OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                             OSSL_PARAM_construct_end()};
  const bool good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.aes.data(), iv, seal ? 1 : 0) == 1 &&
                    EVP_MAC_CTX_set_params(mac, parameters) == 1;
  OPENSSL_cleanse(&key, sizeof key);
  if (!good) return kFailed;
  return found->current ? kGood : kGoodButOld;
}

}  // namespace sluice::tls
