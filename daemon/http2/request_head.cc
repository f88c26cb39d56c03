#include "http2/request_head.h"

#include <sys/random.h>

#include <array>

#include "base/assert.h"

namespace sluice::http2 {

namespace {

constexpr size_t kKeyBytes = 24;  // of 16 bytes in Base64 (RFC 6455 §4.1)

// No secret: it only has to differ.
std::string_view make_websocket_key(std::array<char, kKeyBytes>& out) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<unsigned char, 16> bytes{};
  SL_ASSERT(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  char* at = out.data();
  for (size_t i = 0; i < 15; i += 3) {
    const unsigned three = static_cast<unsigned>(bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2]);
    for (int shift = 18; shift >= 0; shift -= 6) *at++ = kDigits[(three >> shift) & 63];
  }
  *at++ = kDigits[bytes[15] >> 2];
  *at++ = kDigits[(bytes[15] & 3) << 4];
  *at++ = '=';
  *at++ = '=';
  return {out.data(), out.size()};
}

}  // namespace

void RequestBlock::begin(const http::HeadLimits& limits, HeadBlock& lines) {
  *this = RequestBlock();
  limits_ = &limits;
  lines_ = &lines;
}

void RequestBlock::refuse(Error error) {
  if (error_.reason == Reason::none) error_ = error;
}

void RequestBlock::add(std::string_view name, std::string_view value) {
  if (error_.reason != Reason::none) {
    refused_bytes_ += name.size() + value.size();
    return;
  }
  if (lines_->bytes() + name.size() + value.size() + 4 > limits_->head_bytes) {
    return refuse({Reason::header_too_large, ""});
  }
  if (name.starts_with(':')) return add_pseudo(name, value);
  if (++came_ > limits_->fields) return refuse({Reason::too_many_headers, ""});
  if (name == "host" && authority_.bytes > 0) {
    // The same again is what a proxy may have made of HTTP/1; anything else is two opinions.
    if (!iequals(value, lines_->text(authority_))) refuse({Reason::bad_host, "Host differs from :authority"});
    return;
  }
  if (is_connect() && name == "sec-websocket-key") return;  // HTTP/2 needs none, and HTTP/1.1 gets one of ours
  has_length_ = has_length_ || name == "content-length";
  lines_->add(name, value);
}

// Each comes once at most, and before all other fields: nghttp2 has looked.
void RequestBlock::add_pseudo(std::string_view name, std::string_view value) {
  if (name == ":authority") {
    if (value.empty()) return refuse({Reason::bad_host, ":authority is empty"});
    lines_->add("host", value);
    authority_ = {static_cast<uint32_t>(lines_->bytes() - 2 - value.size()), static_cast<uint32_t>(value.size())};
    return;
  }
  if (name == ":path" && value.size() > limits_->first_line_bytes) {
    return refuse({Reason::request_line_too_long, ""});
  }
  HeadBlock::Piece& piece = name == ":method"   ? method_
                            : name == ":path"   ? path_
                            : name == ":scheme" ? scheme_
                                                : protocol_;
  piece = lines_->add_text(value);
}

Result<void> RequestBlock::become_upgrade() {
  if (lines_->text(protocol_) != "websocket") return Error{Reason::bad_method, "CONNECT for an unknown protocol"};
  std::array<char, kKeyBytes> key;
  method_ = lines_->add_text("GET");
  lines_->add("connection", "upgrade");
  lines_->add("upgrade", "websocket");
  lines_->add("sec-websocket-key", make_websocket_key(key));
  return {};
}

Result<http::RequestHead> RequestBlock::finish(bool ends, std::span<http::HeaderField> fields) {
  if (error_.reason != Reason::none) return error_;
  lines_->join_cookies();
  const bool is_plain_connect = !is_connect() && lines_->text(method_) == "CONNECT";
  if (is_connect()) {
    if (const Result<void> upgrade = become_upgrade(); !upgrade) return upgrade.error();
  } else if (!ends && !has_length_) {
    lines_->add("transfer-encoding", "chunked");
  }
  http::RequestHead head;
  head.version = http::Version::http2;
  head.headers = lines_->map(fields);
  head.method_text = lines_->text(method_);
  head.method = http::method_from(head.method_text);
  head.target = lines_->text(is_plain_connect ? authority_ : path_);
  if (is_plain_connect) return head;
  const std::string_view scheme = lines_->text(scheme_);
  if (!iequals(scheme, "http") && !iequals(scheme, "https")) return Error{Reason::bad_target, ":scheme is not http"};
  const bool asterisk = head.target == "*" && head.method == http::Method::OPTIONS;
  if (!head.target.starts_with('/') && !asterisk) return Error{Reason::bad_target, ":path does not begin with a slash"};
  if (head.method == http::Method::unknown) return Reason::bad_method;
  return head;
}

}  // namespace sluice::http2
