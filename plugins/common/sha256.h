// SHA-256 by libcrypto, for keys of tables and for secrets that must not be kept as they are.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

struct evp_md_ctx_st;

namespace sluice {

using Digest = std::array<uint8_t, 32>;

/// One thread; keeps its memory for the next digest.
class Sha256 {
 public:
  Sha256();
  [[nodiscard]] Digest operator()(std::initializer_list<std::string_view> pieces) const;

  /// For what comes bit by bit; no other digest meanwhile.
  void begin() const;
  void add(std::string_view piece) const;
  [[nodiscard]] Digest finish() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

inline std::string_view as_text(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

/// Of 64 hexadecimal digits.
std::optional<Digest> parse_digest(std::string_view hex);

/// Bytes that nobody can guess.
Digest random_digest();

/// Takes the same time wherever they differ; not if they differ in length.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace sluice
