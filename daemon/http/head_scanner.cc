#include "http/head_scanner.h"

#include "http/byte_block.h"

namespace sluice::http {

// Line by line: find the next byte that is no plain text, which is nearly always the CR of a line's end.
// Every refusal depends only on the bytes up to the one that causes it, never on how they were cut into
// reads.
Result<size_t> HeadScanner::scan(std::string_view bytes, const HeadLimits& limits) {
  const std::string_view window = bytes.substr(0, limits.head_bytes);
  size_t at = scanned_;
  for (;;) {
    at = find_in_blocks(window, at, [](ByteBlock block) { return block.unusual(); });
    if (at + 1 >= window.size()) return wait(window.substr(at), at, bytes.size(), limits);
    if (window[at] != '\r' || window[at + 1] != '\n') {
      if (!is_byte(window[at], byte_class::kField)) return refuse(window[at], at, limits);
      ++at;  // HTAB or obs-text
      continue;
    }
    if (at == line_start_) {
      if (lines_ == 0) return Error{Reason::bad_request_line, "empty first line"};
      return at + 2;
    }
    if (lines_ == 0) {
      if (at > limits.first_line_bytes) return too_long();
    } else if (window[line_start_] == ' ' || window[line_start_] == '\t') {
      return Error{Reason::bad_header, "line begins with white space"};
    }
    if (lines_ > limits.fields) return Error{Reason::too_many_headers, "more field lines than the limit"};
    ++lines_;
    at += 2;
    line_start_ = static_cast<uint32_t>(at);
  }
}

// Only the last byte, or none, is left to be judged.
Result<size_t> HeadScanner::wait(std::string_view rest, size_t at, size_t received, const HeadLimits& limits) {
  if (!rest.empty() && rest[0] != '\r') {
    if (!is_byte(rest[0], byte_class::kField)) return refuse(rest[0], at, limits);
    ++at;
  }
  scanned_ = static_cast<uint32_t>(at);
  if (lines_ == 0 && at > limits.first_line_bytes) return too_long();
  if (received >= limits.head_bytes) return Error{Reason::header_too_large, "head larger than the limit"};
  return size_t{0};
}

// A first line past its limit is too long, whatever stands behind the limit.
Error HeadScanner::refuse(char found, size_t at, const HeadLimits& limits) const {
  if (lines_ == 0 && at > limits.first_line_bytes) return too_long();
  return {Reason::bad_line_end, found == '\r' ? "CR without LF" : "control character or bare LF"};
}

Error HeadScanner::too_long() { return {Reason::request_line_too_long, "first line longer than the limit"}; }

size_t skip_leading_crlf(std::string_view bytes) { return bytes.starts_with("\r\n") ? 2 : 0; }

}  // namespace sluice::http
