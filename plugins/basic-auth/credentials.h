// What a request says in Authorization (RFC 7617 §2).
#pragma once

#include <string.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "common/base64.h"
#include "common/header_syntax.h"

namespace sluice::basic_auth {

/// "user:password", in memory that is wiped.
class Credentials {
 public:
  Credentials() = default;
  ~Credentials() { explicit_bzero(memory_.data(), memory_.size()); }
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  /// False if it is malformed, of another scheme, or longer than memory; then there is nothing to ask.
  bool parse(std::string_view authorization) {
    const size_t space = authorization.find(' ');
    if (space == std::string_view::npos || !equals_ignoring_case(authorization.substr(0, space), "basic")) return false;
    authorization.remove_prefix(std::min(authorization.find_first_not_of(' ', space), authorization.size()));
    const auto decoded = decode_base64(authorization, std::span<char>(memory_).first(memory_.size() - 1));
    if (!decoded || decoded->find('\0') != std::string_view::npos) return false;
    colon_ = decoded->find(':');
    if (colon_ == std::string_view::npos) return false;
    memory_[decoded->size()] = '\0';
    all_ = *decoded;
    return true;
  }
  [[nodiscard]] std::string_view all() const { return all_; }
  [[nodiscard]] std::string_view user() const { return all_.substr(0, colon_); }
  /// Ends with a NUL, and has none.
  [[nodiscard]] const char* password() const { return memory_.data() + colon_ + 1; }

 private:
  std::array<char, 1024> memory_;
  std::string_view all_;
  size_t colon_ = 0;
};

}  // namespace sluice::basic_auth
