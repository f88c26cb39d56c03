// Which bytes may stand where: one table of 256 rows of bits, filled once at compile time from the grammars
// of RFC 9110, RFC 9112 and RFC 3986, and asked by every parser in this folder. Private to http/.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::http {

namespace byte_class {
inline constexpr uint8_t kToken = 1;   // tchar, RFC 9110 §5.6.2
inline constexpr uint8_t kField = 2;   // in a field line: HTAB, SP, VCHAR, obs-text; RFC 9110 §5.5
inline constexpr uint8_t kPath = 4;    // in a path, '%' and '/' included; see parse_target()
inline constexpr uint8_t kQuery = 8;   // in a query, '%' included
inline constexpr uint8_t kPlain = 16;  // unreserved, RFC 3986 §2.3: its percent-escape means the same as itself

constexpr bool is_alnum(int c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool one_of(std::string_view set, int c) {
  return c < 0x80 && set.find(static_cast<char>(c)) != std::string_view::npos;
}

constexpr std::array<uint8_t, 256> make_table() {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    uint8_t bits = 0;
    const bool plain = is_alnum(c) || one_of("-._~", c);
    const bool uri = plain || one_of("!$&'()*+,;=:@/%", c);
    if (is_alnum(c) || one_of("!#$%&'*+-.^_`|~", c)) bits |= kToken;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= kField;
    if (uri || one_of("[]|^", c)) bits |= kPath;
    if (uri || one_of("[]|^?{}`\\", c)) bits |= kQuery;
    if (plain) bits |= kPlain;
    table[static_cast<size_t>(c)] = bits;
  }
  return table;
}
inline constexpr std::array<uint8_t, 256> kTable = make_table();
}  // namespace byte_class

constexpr bool is_byte(char c, uint8_t classes) {
  return (byte_class::kTable[static_cast<unsigned char>(c)] & classes) != 0;
}
/// True if every byte of `text` is of one of `classes`; true for an empty text.
constexpr bool all_bytes(std::string_view text, uint8_t classes) {
  for (const char c : text) {
    if (!is_byte(c, classes)) return false;
  }
  return true;
}
/// 0..15, or -1.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// A word in lower case, of 4 to 16 bytes, to compare texts with whatever their case: a few instructions,
/// where a loop takes a few for each byte.
class CaselessWord {
 public:
  consteval explicit CaselessWord(std::string_view lower) : size_(lower.size()), step_(lower.size() < 8 ? 4 : 8) {
    for (size_t i = 0; i < step_; ++i) {
      set(first_, i, lower[i]);
      set(last_, i, lower[lower.size() - step_ + i]);
    }
  }
  friend bool operator==(const CaselessWord& word, std::string_view text) {
    if (text.size() != word.size_) return false;
    const char* const last =
        text.data() + word.size_ - word.step_;  // the two halves overlap unless the size is 8 or 16
    return word.step_ == 4 ? (differs<uint32_t>(word.first_, text.data()) | differs<uint32_t>(word.last_, last)) == 0
                           : (differs<uint64_t>(word.first_, text.data()) | differs<uint64_t>(word.last_, last)) == 0;
  }

 private:
  struct Half {
    std::array<char, 8> bytes{};
    std::array<char, 8> fold{};  // 0x20 where a letter is
  };
  static consteval void set(Half& half, size_t at, char c) {
    half.bytes[at] = c;
    half.fold[at] = c >= 'a' && c <= 'z' ? 0x20 : 0;
  }
  template <typename Bits>
  static Bits differs(const Half& half, const char* at) {
    Bits text;
    Bits bytes;
    Bits fold;
    std::memcpy(&text, at, sizeof text);
    std::memcpy(&bytes, half.bytes.data(), sizeof bytes);
    std::memcpy(&fold, half.fold.data(), sizeof fold);
    return (text | fold) ^ bytes;
  }
  Half first_;
  Half last_;
  size_t size_;
  size_t step_;
};

}  // namespace sluice::http
