// HeadBlock: the fields of one HTTP/2 header block, collected as they are decoded and kept as the lines of an HTTP/1.1 head,
// "name: value CR LF": the form that the rest of the gateway reads. A connection decodes one block at a time (RFC 9113 §4.3), so a
// session needs one HeadBlock. It holds memory of the pool from the first field to clear(). Worker thread only.
//
// The reverse, append_fields(), makes nghttp2's form of such a head.
#pragma once

#include <nghttp2/nghttp2.h>

#include <span>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "http/message.h"

namespace sluice::http2 {

class HeadBlock {
 public:
  /// A piece of text(), which may move while fields are added.
  struct Piece {
    uint32_t at = 0;
    uint32_t bytes = 0;
  };

  explicit HeadBlock(BlockPool& pool) : text_(pool), fields_(pool) {}

  /// Adds a line. `name` is in lower case and `value` holds no line end: nghttp2 has checked both.
  void add(std::string_view name, std::string_view value);
  /// Adds text that is no field, such as a pseudo-header's value.
  Piece add_text(std::string_view text);
  /// Joins what more than one Cookie field holds into one, at the end (RFC 9113 §8.2.3).
  void join_cookies();
  void clear();

  /// Of all names and values, and 4 for each field, as HTTP/1.1 would have sent them.
  [[nodiscard]] size_t bytes() const { return text_.size(); }
  [[nodiscard]] size_t fields() const { return fields_.size() / sizeof(Field); }
  /// Valid until the next add.
  [[nodiscard]] std::string_view text() const { return text_.view(); }
  [[nodiscard]] std::string_view text(Piece piece) const { return text_.view().substr(piece.at, piece.bytes); }
  /// The fields as views into text(); `out` has room for fields().
  [[nodiscard]] http::HeaderMap map(std::span<http::HeaderField> out) const;

 private:
  struct Field {
    Piece name;
    Piece value;
    http::HeaderId id;
  };
  [[nodiscard]] Field field(size_t index) const;

  Buffer text_;
  Buffer fields_;  // of Field
};

/// Adds the fields of an HTTP/1.1 head to `out`, but for those that say how HTTP/1.1 frames it (RFC 9113 §8.2.2) and Host. Views,
/// except that nghttp2 copies them, names in lower case, when it gets them.
void append_fields(const http::HeaderMap& headers, std::vector<nghttp2_nv>& out);
void append_field(const http::HeaderField& field, std::vector<nghttp2_nv>& out);
[[nodiscard]] nghttp2_nv make_field(std::string_view name, std::string_view value);

}  // namespace sluice::http2
