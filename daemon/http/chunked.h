// ChunkedDecoder takes the chunked coding (RFC 9112 §7.1) off a body as it streams by. Strict: hex size of at most 16 digits
// without sign, "0x" or white space, CR LF line ends only, extensions of bounded length dropped, size lines of at most 256
// bytes. Holds no body bytes; holds the trailer section (bounded) only while there is one. One per body.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/head_scanner.h"

namespace sluice::http {

class ChunkedDecoder {
 public:
  static constexpr size_t kMaxSizeLineBytes = 256;
  static constexpr size_t kMaxTrailerBytes = 8 * 1024;
  static constexpr uint32_t kMaxTrailerFields = 64;
  /// Of all size lines of one body together: or else tiny chunks with long extensions would cost a hundred times what the
  /// body limit allows.
  static constexpr size_t kMaxExtensionBytes = 16 * 1024;

  struct Step {
    size_t consumed = 0;    // bytes of `input` that are dealt with
    std::string_view data;  // payload among them, in place; may be empty
    bool done = false;      // the last byte of the body, trailers included, was consumed
  };
  /// Takes as much of `input` as forms one step: framing, and the run of payload behind it if there is one. Call again with
  /// the rest until `consumed` is 0 (more bytes are needed) or `done`. Bytes behind the body stay unconsumed.
  /// Errors: bad_chunk, after which the decoder is of no more use.
  Result<Step> next(std::string_view input);

  /// Bytes of the current chunk that are still to come, so that a chunk that is too large can be refused at its size line.
  [[nodiscard]] uint64_t chunk_left() const { return state_ == State::data ? left_ : 0; }

  /// After done: the raw trailer section, ending with its empty line; empty if there were no trailers.
  /// Parse it with parse_fields().
  [[nodiscard]] std::string_view trailers() const { return trailers_; }
  [[nodiscard]] uint32_t trailer_fields() const { return trailers_.empty() ? 0 : trailer_scanner_.fields(); }

 private:
  // State      reads                         then
  // size       hex digits                    extension at ';', size_lf at CR
  // extension  anything but CR and CTLs      size_lf at CR
  // size_lf    LF                            data, or trailers behind the chunk of size 0
  // data       left_ bytes of payload        data_cr
  // data_cr    CR                            data_lf
  // data_lf    LF                            size
  // trailers   field lines and an empty one  done
  enum class State : uint8_t { size, extension, size_lf, data, data_cr, data_lf, trailers, done };
  const char* read_framing(char c);
  const char* read_size(char c);
  const char* read_extension(char c);
  Result<size_t> read_trailers(std::string_view input);

  State state_ = State::size;
  uint8_t digits_ = 0;
  uint16_t line_bytes_ = 0;
  uint32_t extension_bytes_ = 0;
  uint64_t left_ = 0;  // of the current chunk
  HeadScanner trailer_scanner_ = HeadScanner::of_trailers();
  std::string trailers_;
};

/// The framing around one outgoing chunk: writes "<hex>\r\n" to `out` (at least 18 bytes) and returns its length.
size_t write_chunk_head(uint64_t bytes, char* out);

}  // namespace sluice::http
