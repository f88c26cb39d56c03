#include "idempotency/key.h"

#include <algorithm>

namespace sluice::idempotency {

namespace {

std::optional<std::string_view> parse_quoted(std::string_view value, std::span<char> out) {
  size_t length = 0;
  for (size_t i = 1; i < value.size(); ++i) {
    char c = value[i];
    if (c == '"') {
      if (i + 1 != value.size() || length == 0) return std::nullopt;
      return std::string_view(out.data(), length);
    }
    if (c == '\\') {
      if (++i == value.size() || (value[i] != '"' && value[i] != '\\')) return std::nullopt;
      c = value[i];
    }
    if (c < 0x20 || c > 0x7e || length == kMaxKeyBytes) return std::nullopt;
    out[length++] = c;
  }
  return std::nullopt;  // no quote at its end
}

}  // namespace

std::optional<std::string_view> parse_key(std::string_view value, std::span<char> out) {
  if (value.starts_with('"')) return parse_quoted(value, out);
  // Commas would be several fields that somebody joined; semicolons, parameters.
  const bool bare =
      !value.empty() && value.size() <= kMaxKeyBytes && std::all_of(value.begin(), value.end(), [](char c) {
        return c > 0x20 && c <= 0x7e && c != '"' && c != '\\' && c != ',' && c != ';';
      });
  if (!bare) return std::nullopt;
  value.copy(out.data(), value.size());
  return std::string_view(out.data(), value.size());
}

}  // namespace sluice::idempotency
