// Parses one complete message head (as HeadScanner delimited it) into views. Strict, single pass, no allocation, no I/O.
// The grammar is RFC 9112 §3-§5 without any leniency: single spaces in the request line, token names, no space before the
// colon, field values of VCHAR, SP, HTAB and obs-text, exactly "HTTP/1.0" or "HTTP/1.1".
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "http/head_scanner.h"
#include "http/message.h"

namespace sluice::http {

/// `head` ends with its empty line. `fields` must hold as many elements as the scanner counted; the returned HeaderMap
/// views it. Errors: bad_request_line, bad_method (well-formed but not known), bad_version, bad_header.
Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields);

/// The same, sparing the search for line ends. `scanner` is the one that delimited exactly these bytes, not yet reset.
Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields, const HeadScanner& scanner);

/// Errors: upstream_bad_response.
Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields);
Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields, const HeadScanner& scanner);

/// A block of field lines without a first line, such as a trailer section; `block` ends with its empty line.
Result<HeaderMap> parse_fields(std::string_view block, std::span<HeaderField> fields);

/// token (RFC 9110 §5.6.2), not empty.
bool is_token(std::string_view text);
/// field-value without leading or trailing white space: no CTL but HTAB.
bool is_field_value(std::string_view text);

}  // namespace sluice::http
