// Outbox: bytes on their way out of one stream. During a callback pieces are added as views and leave together in one
// sendmsg when the callback ends (flush). What the socket does not take is copied, so that after flush() no view is kept.
// Who fills it watches held() and pauses the source: watermarks below.
#pragma once

#include <sys/uio.h>

#include <array>
#include <span>
#include <string_view>

#include "base/buffer.h"
#include "event/stream.h"

namespace sluice::proxy {

constexpr size_t kHighWatermark = 64 * 1024;  // past it the source is paused
constexpr size_t kLowWatermark = 16 * 1024;   // at or below it the source goes on

class Outbox {
 public:
  static constexpr size_t kMostPieces = 15;

  explicit Outbox(BlockPool& pool) : held_(pool) {}

  /// `piece` must stay valid until flush() or hold().
  void add(std::string_view piece) {
    if (piece.empty()) return;
    if (count_ == pieces_.size()) hold();
    pieces_[count_++] = {const_cast<char*>(piece.data()), piece.size()};
  }
  /// Adds one chunk of the chunked coding around `payload`, which is as for add().
  void add_chunk(std::string_view payload);

  /// Writes as much as the socket takes. ok: everything is out. again: the rest is held. error: the stream is dead, what
  /// was not sent is held, so that it can go out on another stream.
  event::IoStatus flush(event::Stream& stream);
  /// What there is to be written, in `out`: for who writes it elsewhere, and says by sent() how much was taken.
  std::span<const iovec> pieces(std::array<iovec, kMostPieces>& out) const;
  /// The first `bytes` left; what did not is held.
  void sent(size_t bytes);
  /// Copies the pieces, so that the views may go away.
  void hold();
  void clear();
  /// Moves the first `bytes` to `out`, which has room for them, and counts them as sent. Views stay views.
  void take(size_t bytes, Buffer& out);
  /// Lets everything go, and counts it as sent.
  void drop();

  [[nodiscard]] bool empty() const { return count_ == 0 && held_.empty(); }
  [[nodiscard]] size_t size() const;
  [[nodiscard]] size_t held() const { return held_.size(); }
  /// Bytes that sockets took since the beginning or clear().
  [[nodiscard]] uint64_t sent() const { return sent_; }

 private:
  void keep_after(size_t written);

  static constexpr size_t kChunkHeads = 6;
  static constexpr size_t kChunkHeadBytes = 18;

  Buffer held_;
  uint64_t sent_ = 0;
  uint32_t count_ = 0;
  uint32_t chunk_heads_ = 0;
  std::array<iovec, kMostPieces - 1> pieces_;
  std::array<char, kChunkHeads * kChunkHeadBytes> chunk_head_bytes_;
};

}  // namespace sluice::proxy
