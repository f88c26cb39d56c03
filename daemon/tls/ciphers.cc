#include "tls/ciphers.h"

#include <openssl/err.h>

#include <algorithm>

#include "base/assert.h"
#include "tls/openssl.h"

namespace sluice::tls {

namespace {

SslContextPtr any_context() {
  SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  SL_ASSERT(context != nullptr);
  return context;
}

}  // namespace

std::vector<std::string_view> unknown_ciphers(std::string_view list) {
  constexpr std::string_view kSeparators = ":;, ";
  constexpr std::string_view kAddsNone = "!-+@";
  std::vector<std::string_view> unknown;
  const SslContextPtr context = any_context();
  for (size_t at = 0; (at = list.find_first_not_of(kSeparators, at)) != std::string_view::npos;) {
    const size_t end = std::min(list.find_first_of(kSeparators, at), list.size());
    const std::string_view word = list.substr(at, end - at);
    at = end;
    if (kAddsNone.find(word.front()) != std::string_view::npos) continue;
    if (SSL_CTX_set_cipher_list(context.get(), std::string(word).c_str()) != 1) unknown.push_back(word);
  }
  ERR_clear_error();
  return unknown;
}

std::vector<std::string> cipher_names() {
  const SslContextPtr context = any_context();
  SSL_CTX_set_cipher_list(context.get(), "ALL");
  const STACK_OF(SSL_CIPHER)* all = SSL_CTX_get_ciphers(context.get());
  std::vector<std::string> names;
  for (int i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(all, i);
    const std::string_view name = SSL_CIPHER_get_name(cipher);
    if (!name.starts_with("TLS_")) names.emplace_back(name);  // those of TLS 1.3 are not chosen
  }
  return names;
}

}  // namespace sluice::tls
