#include "http/parser.h"

#include "base/strings.h"
#include "http/byte_block.h"
#include "http/header_names.h"

namespace sluice::http {

namespace {

constexpr std::string_view kVersionStem = "HTTP/1.";
constexpr size_t kVersionBytes = 8;  // "HTTP/1.1"

bool is_space(char c) { return c == ' ' || c == '\t'; }
// One comparison that every space passes, and hardly anything else where it is asked.
bool may_be_space(char c) { return static_cast<unsigned char>(c) <= ' '; }
bool is_crlf(std::string_view text, size_t at) { return std::memcmp(text.data() + at, "\r\n", 2) == 0; }

// What ends a line or a value: in a head that the scanner saw, its CR; in one that it did not, whatever is
// not printable.
constexpr auto kScanned = [](ByteBlock block) { return block.equal('\r'); };
constexpr auto kUnseen = [](ByteBlock block) { return block.unusual(); };

// Behind the colon of a field line come at least its CR LF and that of the empty line.
constexpr size_t kLeastBehindColon = 4;

// Reads the name at `at`, where a block can be read, and returns where its value may begin, behind the colon;
// 0 if the colon is not within the block, or what is before it is no token. A known name needs no check of
// its characters: to be equal to one is to be a token.
inline size_t read_short_name(std::string_view text, size_t at, HeaderField& field) {
  const char* const begin = text.data() + at;
  const ByteBlock block = ByteBlock::load(begin);
  const auto length = static_cast<uint32_t>(std::countr_zero(block.equal(':') | 1u << kBlockBytes));
  if (length - 1 >= kBlockBytes - 1) return 0;  // nothing before the colon, or no colon
  field.name = {begin, length};
  field.id = header_names::find(begin, length, block);
  if (field.id != HeaderId::other || (block.not_name() & ((1u << length) - 1)) == 0) return at + length + 1;
  return is_token(field.name) ? at + length + 1 : 0;
}

// The same for any name, also near the end.
size_t read_any_name(std::string_view text, size_t at, HeaderField& field) {
  const size_t colon = find_in_blocks(text, at, [](ByteBlock block) { return block.equal(':'); });
  if (colon + kLeastBehindColon >= text.size()) return 0;
  field.name = text.substr(at, colon - at);
  field.id = header_id(field.name);
  const auto odd = [](ByteBlock block) { return block.not_name(); };
  const bool known = field.id != HeaderId::other;
  const bool plain = known || (colon != at && find_in_blocks(field.name, 0, odd) == field.name.size());
  return plain || is_token(field.name) ? colon + 1 : 0;
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}
size_t trim_space(std::string_view text, size_t begin, size_t end) {
  while (end > begin && is_space(text[end - 1])) --end;
  return end;
}

// Reads the lines from `at` on, up to the empty line, and returns where that ends; 0 if one of them is no
// field line, there are more than `fields` can hold, or the text ends first.
template <typename LineEnd>
inline size_t read_fields(std::string_view text, size_t at, LineEnd is_line_end, std::span<HeaderField> fields,
                          HeaderMap& map) {
  if (text.size() < at + 2) return 0;
  const auto last_block = static_cast<ptrdiff_t>(text.size()) - static_cast<ptrdiff_t>(kBlockBytes + kLeastBehindColon);
  HeaderField* field = fields.data();
  HeaderField* const fields_end = field + fields.size();
  uint64_t present = 0;
  uint64_t repeated = 0;
  for (; text[at] != '\r'; ++field) {
    if (field == fields_end) return 0;
    size_t value = static_cast<ptrdiff_t>(at) <= last_block ? read_short_name(text, at, *field) : 0;
    if (value == 0) value = read_any_name(text, at, *field);
    if (value == 0) return 0;
    const uint64_t bit = HeaderMap::bit_of(field->id);
    repeated |= present & bit;
    present |= bit;

    if (text[value] == ' ') ++value;  // as nearly everyone writes it
    if (may_be_space(text[value])) value = skip_space(text, value);
    const size_t line_end = find_in_blocks(text, value, is_line_end);
    if (line_end + kLeastBehindColon > text.size() || !is_crlf(text, line_end)) return 0;
    const size_t value_end = may_be_space(text[line_end - 1]) ? trim_space(text, value, line_end) : line_end;
    field->value = {text.data() + value, value_end - value};
    at = line_end + 2;
  }
  if (!is_crlf(text, at)) return 0;
  map = HeaderMap(fields.first(static_cast<size_t>(field - fields.data())), present, repeated);
  return at + 2;
}

// "HTTP/1.0" or "HTTP/1.1" and nothing else (the text is exactly eight bytes).
bool read_version(const char* text, Version& version) {
  if (std::memcmp(text, kVersionStem.data(), kVersionStem.size()) != 0) return false;
  const char minor = text[kVersionStem.size()];
  version = minor == '0' ? Version::http10 : Version::http11;
  return minor == '0' || minor == '1';
}

// Is it any version at all (RFC 9112 §2.3), so that the answer is 505 and not 400?
bool is_foreign_version(const char* text) {
  return std::string_view(text, 5) == "HTTP/" && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
}

bool is_visible_ascii(std::string_view text) {
  return find_in_blocks(text, 0, [](ByteBlock block) { return block.not_visible(); }) == text.size();
}

// METHOD SP TARGET SP VERSION. Reason::none if all is well.
Error read_request_line(std::string_view line, RequestHead& head) {
  const size_t method_end = find_in_blocks(line, 0, [](ByteBlock block) { return block.equal(' '); });
  const size_t target_end = line.size() - kVersionBytes - 1;  // where the second space must be
  if (line.size() < method_end + 2 + kVersionBytes + 1 || line[target_end] != ' ') {
    return {Reason::bad_request_line, "not METHOD SP TARGET SP VERSION"};
  }
  head.method_text = {line.data(), method_end};
  head.target = {line.data() + method_end + 1, target_end - method_end - 1};
  if (!is_visible_ascii(head.target)) {
    return {Reason::bad_request_line, "white space or a byte past ASCII in the target"};
  }
  head.method = method_from(head.method_text);
  if (head.method == Method::unknown && !is_token(head.method_text)) {
    return {Reason::bad_request_line, "the method is no token"};
  }
  const char* const version = line.data() + target_end + 1;
  if (!read_version(version, head.version)) {
    if (is_foreign_version(version)) return {Reason::bad_version, "neither HTTP/1.0 nor HTTP/1.1"};
    return {Reason::bad_request_line, "no HTTP version"};
  }
  if (head.method == Method::unknown) return {Reason::bad_method, "unknown method"};
  return {Reason::none};
}

// VERSION SP 3DIGIT [ SP PHRASE ]. RFC 9112 §4 wants the second space even before an empty phrase, but enough
// servers leave it out, and nothing hangs on it.
const char* read_status_line(std::string_view line, ResponseHead& head) {
  constexpr size_t kLeast = kVersionBytes + 4;
  if (line.size() < kLeast || !read_version(line.data(), head.version) || line[kVersionBytes] != ' ') {
    return "status line does not begin with HTTP/1.x";
  }
  const char* digits = line.data() + kVersionBytes + 1;
  if (!is_digit(digits[0]) || !is_digit(digits[1]) || !is_digit(digits[2])) return "status is not three digits";
  head.status = static_cast<uint16_t>((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
  if (head.status < 100 || head.status > 599) return "status outside 100..599";
  if (line.size() == kLeast) return nullptr;
  if (line[kLeast] != ' ') return "no space after the status";
  head.phrase = line.substr(kLeast + 1);
  return nullptr;
}

constexpr const char* kBadField = "a field line is not NAME: VALUE";

// The first line up to where `is_line_end` finds its CR LF; empty if it does not.
template <typename LineEnd>
inline std::string_view first_line(std::string_view text, LineEnd is_line_end) {
  const size_t line_end = find_in_blocks(text, 0, is_line_end);
  return line_end + 2 <= text.size() && is_crlf(text, line_end) ? text.substr(0, line_end) : std::string_view();
}

// Scanner and parser in one pass. Returns the head's length; or 0 if it is incomplete, past a limit, wrong, or holds
// anything but printable ASCII, and only the scanner and the parser can say which. Never accepts what those would
// refuse.
size_t read_plain_request(std::string_view bytes, const HeadLimits& limits, std::span<HeaderField> fields,
                          RequestHead& head) {
  const std::string_view text = bytes.substr(0, limits.head_bytes);
  const std::string_view line = first_line(text, kUnseen);
  if (line.size() > limits.first_line_bytes || read_request_line(line, head).reason != Reason::none) return 0;
  const size_t end = read_fields(text, line.size() + 2, kUnseen, fields, head.headers);
  return head.headers.size() <= limits.fields ? end : 0;
}

size_t read_plain_response(std::string_view bytes, const HeadLimits& limits, std::span<HeaderField> fields,
                           ResponseHead& head) {
  const std::string_view text = bytes.substr(0, limits.head_bytes);
  const std::string_view line = first_line(text, kUnseen);
  if (line.size() > limits.first_line_bytes || read_status_line(line, head) != nullptr) return 0;
  const size_t end = read_fields(text, line.size() + 2, kUnseen, fields, head.headers);
  return head.headers.size() <= limits.fields ? end : 0;
}

Error as_upstream_error(Error error) {
  const bool large = error.reason == Reason::header_too_large || error.reason == Reason::request_line_too_long ||
                     error.reason == Reason::too_many_headers;
  return {large ? Reason::upstream_head_too_large : Reason::upstream_bad_response, error.detail};
}

}  // namespace

Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields) {
  RequestHead request;
  const std::string_view line = first_line(head, kScanned);
  if (const Error error = read_request_line(line, request); error.reason != Reason::none) return error;
  const size_t end = read_fields(head, line.size() + 2, kScanned, fields, request.headers);
  if (end != head.size()) return Error{Reason::bad_header, kBadField};
  return request;
}

Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields) {
  ResponseHead response;
  const std::string_view line = first_line(head, kScanned);
  if (const char* wrong = read_status_line(line, response)) return Error{Reason::upstream_bad_response, wrong};
  const size_t end = read_fields(head, line.size() + 2, kScanned, fields, response.headers);
  if (end != head.size()) return Error{Reason::upstream_bad_response, kBadField};
  return response;
}

Result<HeaderMap> parse_fields(std::string_view block, std::span<HeaderField> fields) {
  HeaderMap map;
  const size_t end = read_fields(block, 0, kScanned, fields, map);
  if (end != block.size()) return Error{Reason::bad_header, kBadField};
  return map;
}

Result<size_t> read_request(std::string_view bytes, const HeadLimits& limits, HeadScanner& scanner,
                            std::span<HeaderField> fields, RequestHead& head) {
  if (scanner.is_fresh()) {
    if (const size_t length = read_plain_request(bytes, limits, fields, head); length > 0) return length;
  }
  const Result<size_t> length = scanner.scan(bytes, limits);
  if (!length || *length == 0) return length;
  const Result<RequestHead> parsed = parse_request(bytes.substr(0, *length), fields);
  scanner.reset();
  if (!parsed) return parsed.error();
  head = *parsed;
  return length;
}

Result<size_t> read_response(std::string_view bytes, const HeadLimits& limits, HeadScanner& scanner,
                             std::span<HeaderField> fields, ResponseHead& head) {
  if (scanner.is_fresh()) {
    if (const size_t length = read_plain_response(bytes, limits, fields, head); length > 0) return length;
  }
  const Result<size_t> length = scanner.scan(bytes, limits);
  if (!length) return as_upstream_error(length.error());
  if (*length == 0) return length;
  const Result<ResponseHead> parsed = parse_response(bytes.substr(0, *length), fields);
  scanner.reset();
  if (!parsed) return parsed.error();
  head = *parsed;
  return length;
}

RequestHead copy_head(const RequestHead& head, std::string_view from, char* to, std::span<HeaderField> fields) {
  std::memcpy(to, from.data(), from.size());
  const auto moved = [&](std::string_view view) {
    return std::string_view(to + (view.data() - from.data()), view.size());
  };
  HeaderField* copy = fields.data();
  for (const HeaderField& field : head.headers) *copy++ = {moved(field.name), moved(field.value), field.id};
  RequestHead result = head;
  result.method_text = moved(head.method_text);
  result.target = moved(head.target);
  result.headers = head.headers.with_fields(fields.first(head.headers.size()));
  return result;
}

bool is_token(std::string_view text) { return !text.empty() && all_bytes(text, byte_class::kToken); }

bool is_field_value(std::string_view text) {
  return all_bytes(text, byte_class::kField) && (text.empty() || (!is_space(text.front()) && !is_space(text.back())));
}

}  // namespace sluice::http
