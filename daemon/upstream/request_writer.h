// RequestWriter: one request on its way out of a connection of HTTP/1.1: the head, the body, and around its pieces the chunked coding
// if that is its framing. Keeps no byte of the body: what the socket does not take the caller offers again. Belongs to a Connection.
#pragma once

#include <sys/uio.h>

#include <array>
#include <span>
#include <string_view>

#include "event/stream.h"

namespace sluice::upstream {

class RequestWriter {
 public:
  /// `head` stays valid while the request is written.
  void begin(std::string_view head, bool chunked);
  /// As Carrier::send().
  event::IoResult write(event::Stream& stream, std::span<const iovec> body, bool last, std::string_view trailers);
  [[nodiscard]] bool has_sent() const { return has_sent_; }

 private:
  void open_chunk(size_t bytes, bool last, std::string_view trailers);
  [[nodiscard]] bool chunk_is_out() const;
  size_t advance(size_t written, size_t body_bytes);

  static constexpr size_t kChunkHeadBytes = 18;

  // In the order in which they leave; each what is still to be sent of it. The body's piece comes behind chunk_head_.
  std::string_view head_;
  std::string_view chunk_head_;
  std::string_view chunk_tail_;
  std::string_view end_;
  std::string_view trailers_;

  size_t chunk_left_ = 0;
  std::array<char, kChunkHeadBytes> chunk_head_bytes_;
  bool chunked_ = false;
  bool ended_ = false;
  bool has_sent_ = false;
};

}  // namespace sluice::upstream
