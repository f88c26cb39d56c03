// How values become bytes of an access log line: numbers, times, and texts that a client chose and that must
// not be able to break the line or the terminal that shows it. Every function writes at `out` and returns the
// end of what it wrote. It may touch, but not mean, up to kTextSlack bytes past that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/clock.h"

namespace sluice::proxy {

constexpr size_t kTextSlack = 16;
constexpr size_t kMaxEscapedBytes = 6;  // what one byte of text can become
constexpr size_t kMaxNumberBytes = 20;

/// A JSON string's content (RFC 8259 §7), always valid: bytes that are not UTF-8 become U+FFFD.
char* write_json_text(char* out, std::string_view text);

/// As nginx does in a combined log: `"`, `\`, control characters and bytes past 0x7e become \xNN.
char* write_plain_text(char* out, std::string_view text);

/// 0 to 999 as text: three digits, then as the fourth byte how many of them count.
extern const std::array<std::array<char, 4>, 1000> kSmallNumbers;
char* write_large_number(char* out, uint64_t value);

inline char* write_number(char* out, uint64_t value) {
  if (value >= kSmallNumbers.size()) return write_large_number(out, value);
  std::memcpy(out, kSmallNumbers[value].data(), 4);
  return out + kSmallNumbers[value][3];
}

/// The same second is written many times: its text is kept. One per worker.
class LogTime {
 public:
  static constexpr size_t kRfc3339Bytes = 24;  // 2026-01-31T23:59:59.123Z
  static constexpr size_t kClfBytes = 26;      // 31/Jan/2026:23:59:59 +0000

  char* write_rfc3339(char* out, Micros wall);
  char* write_clf(char* out, Micros wall);  // as Apache's common log format wants it

 private:
  // Microseconds into the second that the texts below are of.
  uint64_t into_second(Micros wall);
  void update(Micros wall);

  Micros second_{INT64_MAX};
  char rfc3339_[32] = {};  // to the second
  char clf_[32] = {};
};

}  // namespace sluice::proxy
