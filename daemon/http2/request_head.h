// RequestBlock: the header block of a request, made into the head that HTTP/1.1 would have sent. What nghttp2 leaves to its user is
// judged here (RFC 9113 §8.3.1): the form of :path and :scheme, :authority beside Host, the protocol of an extended CONNECT
// (RFC 8441). What the head means is then judged as for any head: proxy/request, http/framing.
#pragma once

#include "base/result.h"
#include "http/head_scanner.h"
#include "http2/head_block.h"

namespace sluice::http2 {

/// How many fields a head may have beyond those that came.
constexpr size_t kAddedFields = 4;

class RequestBlock {
 public:
  /// `limits` and `lines` belong to the caller and outlive the block.
  void begin(const http::HeadLimits& limits, HeadBlock& lines);
  /// A field of the block, in its order. Past the limits nothing more is kept.
  void add(std::string_view name, std::string_view value);
  /// The whole block is here; `ends`: no body follows. The head views the lines, and `fields`. Errors: those of the limits,
  /// bad_target, bad_host, bad_method.
  Result<http::RequestHead> finish(bool ends, std::span<http::HeaderField> fields);
  /// Nothing was wrong with any field so far.
  [[nodiscard]] bool is_accepted() const { return error_.reason == Reason::none; }
  /// So far past the limits that nobody means it: each field costs time, though none is kept.
  [[nodiscard]] bool is_excessive() const { return refused_bytes_ > 2 * limits_->head_bytes; }
  /// As far as it is known.
  [[nodiscard]] http::Method method() const { return http::method_from(lines_->text(method_)); }
  /// It asks for a tunnel; the head is that of an Upgrade.
  [[nodiscard]] bool is_connect() const { return protocol_.bytes > 0; }

 private:
  void add_pseudo(std::string_view name, std::string_view value);
  void refuse(Error error);
  Result<void> become_upgrade();

  const http::HeadLimits* limits_ = nullptr;
  HeadBlock* lines_ = nullptr;
  HeadBlock::Piece method_, path_, scheme_, authority_, protocol_;
  size_t came_ = 0;           // fields, pseudo-headers not counted
  size_t refused_bytes_ = 0;  // of what came after something was wrong
  bool has_length_ = false;
  Error error_{Reason::none, ""};
};

}  // namespace sluice::http2
