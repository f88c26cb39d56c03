#include "http/head_scanner.h"

#include <algorithm>

#include "http/byte_block.h"

namespace sluice::http {

// Works line by line: find the next byte that is no plain text, which is nearly always the CR of a line's
// end. Every refusal depends only on the bytes up to the one that causes it, never on how they were cut into
// reads.
Result<size_t> HeadScanner::scan(std::string_view bytes, const HeadLimits& limits) {
  const char* const begin = bytes.data();
  const char* const end = begin + std::min<size_t>(bytes.size(), limits.head_bytes);
  const char* at = begin + scanned_;
  for (;;) {
    at = find_in_blocks(begin, at, end, [](ByteBlock block) { return block.unusual(); });
    const auto position = static_cast<uint32_t>(at - begin);
    if (lines_ == 0 && position > limits.first_line_bytes) {
      return Error{Reason::request_line_too_long, "first line longer than the limit"};
    }
    if (at == end) break;
    if (*at != '\r') {
      if (!is_byte(*at, byte_class::kField))
        return Error{Reason::bad_line_end, "control character or bare LF"};
      ++at;  // HTAB or obs-text
      continue;
    }
    if (at + 1 == end) break;  // what follows the CR has not arrived
    if (at[1] != '\n') return Error{Reason::bad_line_end, "CR without LF"};
    if (position == line_start_) {
      if (lines_ == 0) return Error{Reason::bad_request_line, "empty first line"};
      return size_t{position} + 2;
    }
    if (lines_ > 0 && (begin[line_start_] == ' ' || begin[line_start_] == '\t')) {
      return Error{Reason::bad_header, "line begins with white space"};
    }
    if (lines_++ > limits.fields) return Error{Reason::too_many_headers, "more field lines than the limit"};
    at += 2;
    line_start_ = position + 2;
  }
  scanned_ = static_cast<uint32_t>(at - begin);
  if (bytes.size() >= limits.head_bytes) return Error{Reason::header_too_large, "head larger than the limit"};
  return size_t{0};
}

size_t skip_leading_crlf(std::string_view bytes) {
  return bytes.starts_with("\r\n") ? 2 : 0;
}

}  // namespace sluice::http
