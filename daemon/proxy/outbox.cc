#include "proxy/outbox.h"

#include <algorithm>

#include "http/chunked.h"

namespace sluice::proxy {

void Outbox::add_chunk(std::string_view payload) {
  if (payload.empty()) return;  // an empty chunk would end the body
  if (chunk_heads_ == kChunkHeads) hold();
  char* head = chunk_head_bytes_.data() + chunk_heads_++ * kChunkHeadBytes;
  add({head, http::write_chunk_head(payload.size(), head)});
  add(payload);
  add("\r\n");
}

event::IoStatus Outbox::flush(event::Stream& stream) {
  if (empty()) return event::IoStatus::ok;
  std::array<iovec, kMostPieces> all;
  const event::IoResult result = stream.write(pieces(all));
  sent(result.status == event::IoStatus::ok ? result.bytes : 0);
  if (result.status == event::IoStatus::error) return event::IoStatus::error;
  return empty() ? event::IoStatus::ok : event::IoStatus::again;
}

std::span<const iovec> Outbox::pieces(std::array<iovec, kMostPieces>& out) const {
  size_t count = 0;
  if (!held_.empty()) out[count++] = {const_cast<char*>(held_.view().data()), held_.size()};
  for (uint32_t i = 0; i < count_; ++i) out[count++] = pieces_[i];
  return {out.data(), count};
}

void Outbox::sent(size_t bytes) {
  sent_ += bytes;
  keep_after(bytes);
}

void Outbox::hold() { keep_after(0); }

// Drops the first `written` bytes and copies what is left of the pieces.
void Outbox::keep_after(size_t written) {
  const size_t from_held = std::min(written, held_.size());
  if (from_held > 0) held_.consume(from_held);
  written -= from_held;
  for (uint32_t i = 0; i < count_; ++i) {
    const std::string_view piece(static_cast<const char*>(pieces_[i].iov_base), pieces_[i].iov_len);
    const size_t gone = std::min(written, piece.size());
    written -= gone;
    held_.append(piece.substr(gone));
  }
  count_ = 0;
  chunk_heads_ = 0;
}

size_t Outbox::size() const {
  size_t bytes = held_.size();
  for (uint32_t i = 0; i < count_; ++i) bytes += pieces_[i].iov_len;
  return bytes;
}

void Outbox::take(size_t bytes, Buffer& out) {
  sent_ += bytes;
  const size_t from_held = std::min(bytes, held_.size());
  if (from_held > 0) {
    out.append(held_.view().substr(0, from_held));
    held_.consume(from_held);
  }
  bytes -= from_held;
  uint32_t gone = 0;
  while (bytes > 0) {
    iovec& piece = pieces_[gone];
    const size_t part = std::min(bytes, piece.iov_len);
    out.append({static_cast<const char*>(piece.iov_base), part});
    piece = {static_cast<char*>(piece.iov_base) + part, piece.iov_len - part};
    bytes -= part;
    if (piece.iov_len == 0) ++gone;
  }
  std::copy(pieces_.begin() + gone, pieces_.begin() + count_, pieces_.begin());
  count_ -= gone;
}

void Outbox::drop() {
  sent_ += size();
  held_.clear();
  count_ = chunk_heads_ = 0;
}

void Outbox::clear() {
  held_.clear();
  count_ = chunk_heads_ = 0;
  sent_ = 0;
}

}  // namespace sluice::proxy
