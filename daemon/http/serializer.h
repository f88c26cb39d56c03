// HeadWriter composes an outgoing head in memory that the caller sized. It never fails half-way: past the end it writes
// nothing more and says so. No allocation.
#pragma once

#include <cstring>
#include <span>
#include <string_view>

#include "http/message.h"

namespace sluice::http {

class HeadWriter {
 public:
  explicit HeadWriter(std::span<char> memory) : begin_(memory.data()), at_(begin_), end_(begin_ + memory.size()) {}

  void text(std::string_view bytes) {
    if (bytes.empty()) return;  // memcpy may not be given a null pointer, not even for no bytes
    if (static_cast<size_t>(end_ - at_) < bytes.size()) {
      overflowed_ = true;
      end_ = at_;
      return;
    }
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  void field(std::string_view name, std::string_view value) {
    text(name);
    text(": ");
    text(value);
    text("\r\n");
  }
  void field(std::string_view name, uint64_t value);
  /// "HTTP/1.1 200 OK\r\n"
  void status_line(uint16_t status, std::string_view phrase);
  /// "GET /path?query HTTP/1.1\r\n"
  void request_line(std::string_view method, std::string_view path, std::string_view query, bool has_query);
  void end() { text("\r\n"); }

  [[nodiscard]] bool overflowed() const { return overflowed_; }
  [[nodiscard]] std::string_view view() const { return {begin_, static_cast<size_t>(at_ - begin_)}; }
  [[nodiscard]] size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  char* begin_;
  char* at_;
  char* end_;
  bool overflowed_ = false;
};

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7). `out` must hold 29 bytes.
void write_http_date(int64_t unix_seconds, char* out);
/// Reads the three date forms of RFC 9110 §5.6.7; -1 if it is none of them.
int64_t parse_http_date(std::string_view text);

}  // namespace sluice::http
