// HeadScanner finds the end of a message head as bytes arrive, before anything is interpreted, and refuses what no HTTP/1.x
// head may contain (RFC 9112 §2.2, §5.2; DESIGN §5): bare CR, bare LF, NUL and other control characters (HTAB inside a
// field line is allowed), lines that begin with white space (obs-fold), and heads over the limits. Vectorised; looks at
// each byte once however slowly the bytes trickle in. One per connection; holds no bytes.
// Connections do not ask it themselves: read_request() and read_response() in parser.h do.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace sluice::http {

struct HeadLimits {
  uint32_t first_line_bytes = 8 * 1024;  // request_line_too_long past it
  uint32_t head_bytes = 32 * 1024;       // header_too_large past it, first line included
  uint32_t fields = 100;                 // too_many_headers past it
};

class HeadScanner {
 public:
  /// `bytes` is everything received of this head so far, from its first byte; each call sees the same prefix and more.
  /// Returns the length of the head including the final empty line, or 0 if more bytes are needed.
  /// Empty lines before a request line are skipped by the caller, not here (skip_leading_crlf).
  Result<size_t> scan(std::string_view bytes, const HeadLimits& limits);

  /// After scan() returned a length: the number of field lines.
  [[nodiscard]] uint32_t fields() const { return lines_ > 0 ? lines_ - 1 : 0; }
  /// True while scan() has kept nothing of a head in mind.
  [[nodiscard]] bool is_fresh() const { return scanned_ == 0 && lines_ == 0; }
  /// Ready for the next head.
  void reset() { *this = HeadScanner(); }
  /// A scanner for field lines that no first line precedes: a trailer section. An empty one ends at once.
  static HeadScanner of_trailers() {
    HeadScanner scanner;
    scanner.lines_ = 1;
    return scanner;
  }

 private:
  Result<size_t> wait(std::string_view rest, size_t at, size_t received, const HeadLimits& limits);
  [[nodiscard]] Error refuse(char found, size_t at, const HeadLimits& limits) const;
  static Error too_long();

  uint32_t scanned_ = 0;     // bytes already looked at
  uint32_t line_start_ = 0;  // where the current line begins
  uint32_t lines_ = 0;       // complete non-empty lines
};

/// How many bytes of leading CR LF pairs may be dropped before a request line (RFC 9112 §2.2); at most one pair per request
/// is tolerated, more is left for the scanner to refuse.
size_t skip_leading_crlf(std::string_view bytes);

}  // namespace sluice::http
