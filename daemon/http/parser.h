// Parses one complete message head (as HeadScanner delimited it) into views; or, where it arrived as a whole and is plain, does
// both at once (read_request, read_response). Strict, no allocation, no I/O.
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

/// Errors: upstream_bad_response.
Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields);

/// Scanner and parser in one pass, for the way nearly every head goes: it lies in `bytes` as a whole, within the limits, holds
/// nothing but printable ASCII, and has no more fields than `fields`. Returns its length; or 0 if it is incomplete, unusual or
/// wrong in any way, and only HeadScanner and the parser above can say which; `head` is
/// then worth nothing. Never accepts what they refuse.
size_t read_request(std::string_view bytes, const HeadLimits& limits, std::span<HeaderField> fields, RequestHead& head);
size_t read_response(std::string_view bytes, const HeadLimits& limits, std::span<HeaderField> fields, ResponseHead& head);

/// `head`, whose views lie in `from`, copied: the bytes to `to`, which holds as many, and the fields to `fields`. For a head
/// that must outlive the buffer in which it was read.
RequestHead copy_head(const RequestHead& head, std::string_view from, char* to, std::span<HeaderField> fields);

/// A block of field lines without a first line, such as a trailer section; `block` ends with its empty line. Errors: bad_header.
Result<HeaderMap> parse_fields(std::string_view block, std::span<HeaderField> fields);

/// token (RFC 9110 §5.6.2), not empty.
bool is_token(std::string_view text);
/// field-value without leading or trailing white space: no CTL but HTAB.
bool is_field_value(std::string_view text);

}  // namespace sluice::http
