// Message heads out of received bytes, as views into them. read_request() and read_response() are what a connection calls; behind
// them are HeadScanner and a parser for complete heads. Strict, no allocation, no I/O.
// The grammar is RFC 9112 §3-§5 without any leniency: single spaces in the request line, token names, no space before the
// colon, field values of VCHAR, SP, HTAB and obs-text, exactly "HTTP/1.0" or "HTTP/1.1".
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "http/head_scanner.h"
#include "http/message.h"

namespace sluice::http {

/// `bytes` is everything received of this head so far, perhaps with more behind it. Returns the head's length once it is there,
/// and 0 before. `fields` holds limits.fields elements, which `head.headers` views. `scanner` remembers what was looked at between
/// the calls for one head, and is fresh again after it. Nearly every head arrives as a whole, within the limits and in printable
/// ASCII: that one is read in a single pass that never asks the scanner.
/// Errors: those of HeadScanner and parse_request().
Result<size_t> read_request(std::string_view bytes, const HeadLimits& limits, HeadScanner& scanner,
                            std::span<HeaderField> fields, RequestHead& head);
/// The same for an upstream. Errors: upstream_head_too_large, upstream_bad_response.
Result<size_t> read_response(std::string_view bytes, const HeadLimits& limits, HeadScanner& scanner,
                             std::span<HeaderField> fields, ResponseHead& head);

/// `head`, whose views lie in `from`, copied: the bytes to `to`, which holds as many, and the fields to `fields`. For a head
/// that must outlive the buffer in which it was read.
RequestHead copy_head(const RequestHead& head, std::string_view from, char* to, std::span<HeaderField> fields);

/// `head` is what HeadScanner delimited: its bytes are not judged again. `fields` must hold as many elements as the scanner
/// counted; the returned HeaderMap views it. Errors: bad_request_line, bad_method (well-formed but not known), bad_version,
/// bad_header.
Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields);
/// Errors: upstream_bad_response.
Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields);

/// A block of field lines without a first line, such as a trailer section; `block` ends with its empty line. Errors: bad_header.
Result<HeaderMap> parse_fields(std::string_view block, std::span<HeaderField> fields);

/// token (RFC 9110 §5.6.2), not empty.
bool is_token(std::string_view text);
/// field-value without leading or trailing white space: no CTL but HTAB.
bool is_field_value(std::string_view text);

}  // namespace sluice::http
