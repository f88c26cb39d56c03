// Names of ciphers of TLS 1.2, as OpenSSL's lists have them (ciphers(1)). OpenSSL passes over those that it does not know.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::tls {

/// The words of `list` that should add ciphers to it, and add none; what takes ciphers away, or sorts them, is not looked at.
[[nodiscard]] std::vector<std::string_view> unknown_ciphers(std::string_view list);

/// Those that one can have.
[[nodiscard]] std::vector<std::string> cipher_names();

}  // namespace sluice::tls
