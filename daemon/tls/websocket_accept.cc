#include "tls/websocket_accept.h"

#include <array>

#include "base/assert.h"
#include "tls/openssl.h"

namespace sluice::tls {

std::string websocket_accept(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, 20> digest{};
  SL_ASSERT(EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha1(), nullptr) == 1);
  std::array<unsigned char, 29> encoded{};  // 28, and a NUL
  const int size = EVP_EncodeBlock(encoded.data(), digest.data(), digest.size());
  return {encoded.begin(), encoded.begin() + size};
}

}  // namespace sluice::tls
