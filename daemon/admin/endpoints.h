// The admin listener's endpoints: a table of rows from which requests are answered and the index page is
// made, and the rules that hold for all of them. Pure: a request in, a response out; sockets are
// connection.h's business. A new endpoint is one handler and one row in endpoints.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/sources.h"
#include "http/message.h"

namespace sluice::admin {

/// Views into the connection's buffer.
struct Request {
  http::Method method = http::Method::GET;
  std::string_view path;
  std::string_view query;
  std::string_view host;
  http::HeaderMap headers;
};

struct Response {
  uint16_t status = 200;
  std::string_view content_type;  // static text
  std::string body;
  std::vector<std::pair<std::string_view, std::string>> fields;  // beside Content-Type and Content-Length
  bool after_reload = false;  // the answer is reload_response(), once the reload that was begun is over
};

struct Endpoint {
  std::string_view path;
  http::MethodSet methods;
  std::string_view content_type;
  bool open;  // answered without the token, for probes have none
  Response (*handler)(const Request&, const Sources&);
  std::string_view help;
};
std::span<const Endpoint> endpoints();

/// Who may ask.
struct Gate {
  std::string token;  // empty: anybody who can connect
  /// Without a token a web page could reach us through its reader's browser (DNS rebinding), so Host must be
  /// an address or "localhost". Not on unix sockets, which browsers cannot reach.
  bool local_host_only = true;
};

/// Checks the gate, finds the row, calls its handler.
Response answer(const Request& request, const Gate& gate, const Sources& sources);

/// What the last reload changed, or why it was refused: as text if the client asked for text/plain, else as JSON.
Response reload_response(const ReloadReport& report, bool as_text);
bool wants_text(const Request& request);

/// application/problem+json (RFC 9457) with a code that programs can compare. `more`: further members,
/// `"a":1`.
Response problem(uint16_t status, std::string_view code, std::string_view detail, std::string_view more = {});

/// "GET, HEAD"
std::string method_list(http::MethodSet methods);

}  // namespace sluice::admin
