// What the tests of this folder share: a head parsed together with the memory of its fields, and readable
// literals.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "http/head_scanner.h"
#include "http/parser.h"

namespace sluice::http::test {

/// Reads `text`, which must hold a whole head; what follows it is ignored.
class Request {
 public:
  explicit Request(std::string text, const HeadLimits& limits = {}) : text_(std::move(text)), head_(read(limits)) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  [[nodiscard]] bool ok() const { return head_.has_value(); }
  [[nodiscard]] Reason reason() const { return ok() ? Reason::none : head_.error().reason; }
  [[nodiscard]] const RequestHead& head() const { return *head_; }

 private:
  Result<RequestHead> read(const HeadLimits& limits) {
    HeadScanner scanner;
    RequestHead head;
    const Result<size_t> length = read_request(text_, limits, scanner, fields_, head);
    if (!length) return length.error();
    if (*length == 0) return Error{Reason::internal_error, "the head is not complete"};
    return head;
  }
  std::string text_;
  std::array<HeaderField, 256> fields_;
  Result<RequestHead> head_;
};

class Response {
 public:
  explicit Response(std::string text) : text_(std::move(text)), head_(read()) {}
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;

  [[nodiscard]] bool ok() const { return head_.has_value(); }
  [[nodiscard]] Reason reason() const { return ok() ? Reason::none : head_.error().reason; }
  [[nodiscard]] const ResponseHead& head() const { return *head_; }

 private:
  Result<ResponseHead> read() {
    HeadScanner scanner;
    ResponseHead head;
    const Result<size_t> length = read_response(text_, {}, scanner, fields_, head);
    if (!length) return length.error();
    if (*length == 0) return Error{Reason::internal_error, "the head is not complete"};
    return head;
  }
  std::string text_;
  std::array<HeaderField, 256> fields_;
  Result<ResponseHead> head_;
};

/// A GET of "/" with these field lines (each ending in CR LF) behind a valid Host.
inline std::string get_with(std::string_view lines) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n";
}

}  // namespace sluice::http::test
