// How values become bytes of an access log line: numbers, times, and texts that a client chose and that must not be able to
// break the line or the terminal that shows it. Every function writes at `out` and returns the end of what it wrote. It may
// touch, but not mean, up to kTextSlack bytes past that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace sluice::proxy {

constexpr size_t kTextSlack = 16;
constexpr size_t kMaxEscapedBytes = 6;   // what one byte of text can become
constexpr size_t kMaxNumberBytes = 20;

/// A JSON string's content (RFC 8259 §7), always valid: bytes that are not UTF-8 become U+FFFD. `scratch` is used only if
/// there is something to escape.
char* write_json_text(char* out, std::string_view text, std::string& scratch);

/// As nginx does in a combined log: `"`, `\`, control characters and bytes past 0x7e become \xNN.
char* write_plain_text(char* out, std::string_view text);

char* write_number(char* out, uint64_t value);

/// The same second is written many times: its text is kept. One per worker.
class LogTime {
 public:
  static constexpr size_t kRfc3339Bytes = 24;  // 2026-01-31T23:59:59.123Z
  static constexpr size_t kClfBytes = 26;      // 31/Jan/2026:23:59:59 +0000, as Apache's common log format wants it

  char* write_rfc3339(char* out, Micros wall);
  char* write_clf(char* out, Micros wall);

 private:
  void update(int64_t second);

  int64_t second_ = INT64_MIN;  // that the texts below are of
  char rfc3339_[32] = {};       // to the second
  char clf_[32] = {};
};

}  // namespace sluice::proxy
