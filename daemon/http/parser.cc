#include "http/parser.h"

#include "base/strings.h"
#include "http/byte_block.h"
#include "http/header_names.h"

namespace sluice::http {

namespace {

constexpr std::string_view kVersionStem = "HTTP/1.";
constexpr size_t kVersionBytes = 8;  // "HTTP/1.1"

// SP or HTAB. No lower byte but those of a line's end gets past the scanner.
bool is_space(char c) {
  return static_cast<unsigned char>(c) <= ' ' && c != '\r';
}

// The lines of a head, one after the other. Where the scanner noted their ends they need not be searched.
class Lines {
 public:
  Lines(std::string_view head, std::span<const uint16_t> ends)
      : head_(head), next_(ends.data()), last_(ends.data() + ends.size()) {}

  /// The CR of the line that goes on at `at`.
  const char* end_of_line(const char* at) {
    if (next_ != last_) return head_.data() + *next_++;
    const auto offset = static_cast<size_t>(at - head_.data());
    return head_.data() + find_in_blocks(head_, offset, [](ByteBlock block) { return block.equal('\r'); });
  }

 private:
  std::string_view head_;
  const uint16_t* next_;
  const uint16_t* last_;
};

// Reads the name at `at`, behind which 16 bytes can be read; returns the colon behind it, or null if there is
// none among them or what is before it is no token. A known name needs no check of its characters: to be
// equal to one is to be a token.
inline const char* read_name_in_block(const char* at, HeaderField& field) {
  const ByteBlock block = ByteBlock::load(at);
  const uint32_t colons = block.equal(':');
  if (colons == 0) return nullptr;
  const auto length = static_cast<uint32_t>(std::countr_zero(colons));
  if (length == 0) return nullptr;
  field.name = {at, length};
  field.id = header_names::find(at, length, block);
  if (field.id != HeaderId::other || (block.not_name() & ((1u << length) - 1)) == 0) return at + length;
  return is_token(field.name) ? at + length : nullptr;
}

// The same for any name, anywhere; byte by byte up to the line's CR at the latest.
const char* read_long_name(const char* at, HeaderField& field) {
  const char* colon = at;
  while (is_byte(*colon, byte_class::kToken)) ++colon;
  field.name = {at, static_cast<size_t>(colon - at)};
  field.id = header_id(field.name);
  return *colon == ':' && colon != at ? colon : nullptr;
}

// Reads the field lines from `at` to the end of `head`, every one of which ends in CR LF: the scanner has
// seen to that. Null if all is well, else what is wrong; static text.
const char* read_fields(std::string_view head, const char* at, Lines lines, std::span<HeaderField> fields,
                        HeaderMap& map) {
  const char* const end = head.data() + head.size() - 2;  // the empty line
  HeaderField* field = fields.data();
  HeaderField* const fields_end = field + fields.size();
  uint64_t present = 0;
  uint64_t repeated = 0;
  for (; at < end; ++field) {
    if (field == fields_end) return "more field lines than announced";
    const char* value =
        end - at >= static_cast<ptrdiff_t>(kBlockBytes) ? read_name_in_block(at, *field) : nullptr;
    if (value == nullptr) value = read_long_name(at, *field);
    if (value == nullptr) return "field name is no token, or no colon follows it";
    const uint64_t bit = HeaderMap::bit_of(field->id);
    repeated |= present & bit;
    present |= bit;

    if (*++value == ' ') ++value;  // as nearly everyone writes it
    while (is_space(*value)) ++value;
    const char* const line_end = lines.end_of_line(value);
    const char* value_end = line_end;
    while (value_end > value && is_space(value_end[-1])) --value_end;
    field->value = {value, static_cast<size_t>(value_end - value)};
    at = line_end + 2;
  }
  map = HeaderMap(fields.first(static_cast<size_t>(field - fields.data())), present, repeated);
  return nullptr;
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
  if (!is_digit(digits[0]) || !is_digit(digits[1]) || !is_digit(digits[2]))
    return "status is not three digits";
  head.status = static_cast<uint16_t>((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
  if (head.status < 100 || head.status > 599) return "status outside 100..599";
  if (line.size() == kLeast) return nullptr;
  if (line[kLeast] != ' ') return "no space after the status";
  head.phrase = line.substr(kLeast + 1);
  return nullptr;
}

Result<RequestHead> parse_request_lines(std::string_view head, Lines lines, std::span<HeaderField> fields) {
  SL_ASSERT(head.ends_with("\r\n\r\n"));
  RequestHead request;
  const char* const line_end = lines.end_of_line(head.data());
  const std::string_view line(head.data(), static_cast<size_t>(line_end - head.data()));
  if (const Error error = read_request_line(line, request); error.reason != Reason::none) return error;
  if (const char* wrong = read_fields(head, line_end + 2, lines, fields, request.headers); wrong != nullptr) {
    return Error{Reason::bad_header, wrong};
  }
  return request;
}

Result<ResponseHead> parse_response_lines(std::string_view head, Lines lines, std::span<HeaderField> fields) {
  SL_ASSERT(head.ends_with("\r\n\r\n"));
  ResponseHead response;
  const char* const line_end = lines.end_of_line(head.data());
  const std::string_view line(head.data(), static_cast<size_t>(line_end - head.data()));
  const char* wrong = read_status_line(line, response);
  if (wrong == nullptr) wrong = read_fields(head, line_end + 2, lines, fields, response.headers);
  if (wrong != nullptr) return Error{Reason::upstream_bad_response, wrong};
  return response;
}

}  // namespace

Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields) {
  return parse_request_lines(head, Lines(head, {}), fields);
}
Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields,
                                  const HeadScanner& scanner) {
  return parse_request_lines(head, Lines(head, scanner.line_ends()), fields);
}
Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields) {
  return parse_response_lines(head, Lines(head, {}), fields);
}
Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields,
                                    const HeadScanner& scanner) {
  return parse_response_lines(head, Lines(head, scanner.line_ends()), fields);
}

Result<HeaderMap> parse_fields(std::string_view block, std::span<HeaderField> fields) {
  SL_ASSERT(block.ends_with("\r\n"));
  HeaderMap map;
  const char* const wrong = read_fields(block, block.data(), Lines(block, {}), fields, map);
  if (wrong != nullptr) return Error{Reason::bad_header, wrong};
  return map;
}

bool is_token(std::string_view text) {
  return !text.empty() && all_bytes(text, byte_class::kToken);
}

bool is_field_value(std::string_view text) {
  return all_bytes(text, byte_class::kField) &&
         (text.empty() || (!is_space(text.front()) && !is_space(text.back())));
}

}  // namespace sluice::http
