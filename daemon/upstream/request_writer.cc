#include "upstream/request_writer.h"

#include <algorithm>

#include "http/chunked.h"

namespace sluice::upstream {

namespace {

size_t bytes_of(std::span<const iovec> pieces) {
  size_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  return bytes;
}

size_t take(std::string_view& from, size_t most) {
  const size_t taken = std::min(from.size(), most);
  from.remove_prefix(taken);
  return taken;
}

// What leaves in one write.
struct Gathered {
  std::array<iovec, 16> pieces;  // as many as a Stream takes
  size_t count = 0;
  size_t bytes = 0;
  bool all = true;  // nothing was left out

  void add(const void* data, size_t size) {
    if (size == 0) return;
    all = all && count < pieces.size();
    if (!all) return;
    pieces[count++] = {const_cast<void*>(data), size};
    bytes += size;
  }
  void add(std::string_view text) { add(text.data(), text.size()); }
};

}  // namespace

void RequestWriter::begin(std::string_view head, bool chunked) {
  head_ = head;
  chunk_head_ = chunk_tail_ = end_ = trailers_ = {};
  chunk_left_ = 0;
  chunked_ = chunked;
  ended_ = has_sent_ = false;
}

event::IoResult RequestWriter::write(event::Stream& stream, std::span<const iovec> body, bool last,
                                     std::string_view trailers) {
  const size_t offered = bytes_of(body);
  for (size_t taken = 0;;) {
    if (chunked_ && chunk_is_out()) open_chunk(offered - taken, last, trailers);
    const size_t body_bytes = chunked_ ? std::min(chunk_left_, offered - taken) : offered - taken;
    Gathered out;
    out.add(head_);
    out.add(chunk_head_);
    size_t skip = taken, most = body_bytes;
    for (const iovec& piece : body) {
      const size_t skipped = std::min(skip, piece.iov_len);
      const size_t bytes = std::min(piece.iov_len - skipped, most);
      skip -= skipped;
      most -= bytes;
      out.add(static_cast<const char*>(piece.iov_base) + skipped, bytes);
    }
    if (body_bytes == chunk_left_) {
      out.add(chunk_tail_);
      out.add(end_);
      out.add(trailers_);
    }
    if (out.count == 0) return {event::IoStatus::ok, taken};
    const event::IoResult result = stream.write({out.pieces.data(), out.count});
    if (result.status != event::IoStatus::ok) return {result.status, taken};
    has_sent_ = has_sent_ || result.bytes > 0;
    taken += advance(result.bytes, body_bytes);
    if (result.bytes < out.bytes) return {event::IoStatus::again, taken};
    if (!chunked_ && out.all) return {event::IoStatus::ok, taken};
  }
}

bool RequestWriter::chunk_is_out() const {
  return chunk_head_.empty() && chunk_left_ == 0 && chunk_tail_.empty() && end_.empty() && trailers_.empty();
}

void RequestWriter::open_chunk(size_t bytes, bool last, std::string_view trailers) {
  if (bytes > 0) {
    chunk_head_ = {chunk_head_bytes_.data(), http::write_chunk_head(bytes, chunk_head_bytes_.data())};
    chunk_left_ = bytes;
    chunk_tail_ = "\r\n";
  }
  if (!last || ended_) return;
  ended_ = true;
  end_ = trailers.empty() ? "0\r\n\r\n" : "0\r\n";
  trailers_ = trailers;
}

// Returns how much of the body was among the `written` bytes.
size_t RequestWriter::advance(size_t written, size_t body_bytes) {
  written -= take(head_, written);
  written -= take(chunk_head_, written);
  const size_t of_body = std::min(written, body_bytes);
  written -= of_body;
  if (chunked_) chunk_left_ -= of_body;
  written -= take(chunk_tail_, written);
  written -= take(end_, written);
  take(trailers_, written);
  return of_body;
}

}  // namespace sluice::upstream
