// Static files: decides how a request for a file below a route's root is answered, and opens the file. Sends
// nothing: the exchange writes the head and gives the bytes to sendfile(2). Any thread; no state; no
// allocation. Opening a file may wait for the disk, as it does in nginx.
//
// Rules: only regular files; names that begin with a dot do not exist, but for /.well-known (RFC 8615);
// symlinks are followed as long as every step stays below the root (an absolute link never does); a folder
// without its slash is redirected. Conditional requests as in RFC 9110 §13, single byte ranges as in §14;
// several ranges at once are answered with the whole file, which §14.2 allows, since multipart answers help
// nobody and amplify.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/reason.h"
#include "base/unique_fd.h"
#include "http/message.h"
#include "http/serializer.h"
#include "snapshot/spec.h"

namespace sluice::proxy {

/// A header field's value that is made per answer.
class ShortText {
 public:
  [[nodiscard]] std::string_view view() const { return {bytes_, size_}; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void append(std::string_view text);
  void append_number(uint64_t value, int radix = 10);

 private:
  char bytes_[80];  // "bytes 0-0/0" with three numbers of 20 digits
  uint8_t size_ = 0;
};

/// While bytes of `file` are sent it may shrink: then the answer must be broken off, not padded.
struct StaticAnswer {
  uint16_t status = 0;           // 200, 206, 304, 308, 403, 404, 405, 412, 416, ...
  Reason reason = Reason::none;  // not none: the gateway's own problem body is due
  UniqueFd file;                 // only if bytes of it are to be sent
  uint64_t offset = 0;           // of the first byte to send
  uint64_t length = 0;           // Content-Length of a 200 or 206, also for HEAD
  bool head_only = false;        // HEAD: no body, whatever `length` says

  // Header fields; empty: not sent. Views are static, or into the `relative_path` given.
  std::string_view content_type;
  std::string_view allow;          // 405
  std::string_view slash_segment;  // 308: the path's last segment, which wants a slash
  ShortText etag;
  ShortText last_modified;
  ShortText content_range;  // 206, 416

  /// Writes these fields and those that always go with them; not Content-Length, Date or Connection. `query`
  /// (without '?') is kept by a redirect.
  void write_fields(http::HeadWriter& head, std::string_view query = {}) const;
};

/// `relative_path` is the part of the normalised path below the route's root, still percent-encoded, with or
/// without a slash in front. Its decoded form must not hold a slash or NUL that was encoded (bad_path).
StaticAnswer open_static(const snapshot::StaticSpec& spec, std::string_view relative_path, http::Method method,
                         const http::HeaderMap& headers);

}  // namespace sluice::proxy
