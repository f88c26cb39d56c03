#include "common/base64.h"

#include <array>
#include <cstdint>

namespace sluice {

namespace {

using Values = std::array<int8_t, 256>;  // of each character; -1: it is none of the alphabet

constexpr Values values_of(std::string_view alphabet) {
  Values values{};
  values.fill(-1);
  for (size_t i = 0; i < alphabet.size(); ++i) values[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
  return values;
}

constexpr Values kPlain = values_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
constexpr Values kUrl = values_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

// `text` without padding.
std::optional<std::string_view> decode(const Values& values, std::string_view text, std::span<char> out) {
  if (text.size() % 4 == 1 || text.size() * 3 / 4 > out.size()) return std::nullopt;
  uint32_t bits = 0;
  unsigned count = 0;
  size_t at = 0;
  for (const char c : text) {
    const int value = values[static_cast<uint8_t>(c)];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out[at++] = static_cast<char>(bits >> count & 0xff);
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return std::string_view(out.data(), at);
}

}  // namespace

std::optional<std::string_view> decode_base64(std::string_view text, std::span<char> out) {
  if (text.size() % 4 != 0) return std::nullopt;
  for (size_t padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  return decode(kPlain, text, out);
}

std::optional<std::string_view> decode_base64url(std::string_view text, std::span<char> out) {
  return decode(kUrl, text, out);
}

bool is_base64url(std::string_view text) {
  int all = 0;
  for (const char c : text) all |= kUrl[static_cast<uint8_t>(c)];
  return all >= 0;
}

std::string_view encode_base64url(std::string_view bytes, std::span<char> out) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const auto byte = [bytes](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[i])}; };
  char* at = out.data();
  size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    at[0] = kAlphabet[bits >> 18];
    at[1] = kAlphabet[bits >> 12 & 63];
    at[2] = kAlphabet[bits >> 6 & 63];
    at[3] = kAlphabet[bits & 63];
    at += 4;
  }
  if (const size_t left = bytes.size() - i; left > 0) {
    const uint32_t bits = byte(i) << 16 | (left == 2 ? byte(i + 1) << 8 : 0);
    *at++ = kAlphabet[bits >> 18];
    *at++ = kAlphabet[bits >> 12 & 63];
    if (left == 2) *at++ = kAlphabet[bits >> 6 & 63];
  }
  return {out.data(), static_cast<size_t>(at - out.data())};
}

}  // namespace sluice
