// ChunkedDecoder takes the chunked coding (RFC 9112 §7.1) off a body as it streams by. Strict: hex size of at most 16 digits
// without sign, "0x" or white space, CR LF line ends only, extensions of bounded length parsed and dropped, size lines of at
// most 256 bytes. Holds no body bytes; holds the trailer section (bounded) only while there is one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::http {

class ChunkedDecoder {
 public:
  static constexpr size_t kMaxTrailerBytes = 8 * 1024;

  struct Step {
    size_t consumed = 0;     // bytes of `input` that are dealt with
    std::string_view data;   // payload among them, in place; may be empty
    bool done = false;       // the last byte of the body, trailers included, was consumed
  };
  /// Takes as much of `input` as forms one step: one run of payload, or some framing. Call again with the rest until
  /// `consumed` is 0 (more bytes are needed) or `done`. Errors: bad_chunk.
  Result<Step> next(std::string_view input);

  /// After done: the raw trailer section, ending with its empty line; empty if there were no trailers.
  /// Parse it with parse_fields().
  [[nodiscard]] std::string_view trailers() const { return trailers_; }
  [[nodiscard]] uint32_t trailer_fields() const { return trailer_fields_; }

 private:
  enum class State : uint8_t { size, extension, size_lf, data, data_cr, data_lf, trailers, done };
  Result<Step> read_size(std::string_view input);
  Result<Step> read_trailers(std::string_view input);

  State state_ = State::size;
  uint8_t digits_ = 0;
  uint16_t line_bytes_ = 0;
  uint32_t trailer_fields_ = 0;
  uint64_t left_ = 0;  // of the current chunk
  std::string trailers_;
};

/// The framing around one outgoing chunk: writes "<hex>\r\n" to `out` (at least 18 bytes) and returns its length.
size_t write_chunk_head(uint64_t bytes, char* out);

}  // namespace sluice::http
