#include "http/parser.h"

#include "base/strings.h"
#include "http/byte_block.h"
#include "http/header_names.h"

namespace sluice::http {

namespace {

constexpr std::string_view kVersionStem = "HTTP/1.";
constexpr size_t kVersionBytes = 8;  // "HTTP/1.1"

const char* find_line_end(const char* begin, const char* at, const char* end) {
  return find_in_blocks(begin, at, end, [](ByteBlock block) { return block.equal('\r'); });
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

// Reads the field lines of one head. `end` is where its final empty line begins, so every line before it ends
// in CR LF and a CR is always found: the scanner has seen to that.
class FieldReader {
 public:
  FieldReader(std::string_view head, size_t from, std::span<HeaderField> fields)
      : begin_(head.data()), at_(begin_ + from), end_(begin_ + head.size() - 2), fields_(fields) {}

  /// Null if all is well, else what was wrong; static text.
  const char* read_all() {
    for (; at_ < end_; ++count_) {
      if (count_ == fields_.size()) return "more field lines than announced";
      HeaderField& field = fields_[count_];
      if (!read_name(field)) return "field name is no token, or no colon follows it";
      read_value(field);
      const uint64_t bit = HeaderMap::bit_of(field.id);
      repeated_ |= present_ & bit;
      present_ |= bit;
    }
    return nullptr;
  }
  [[nodiscard]] HeaderMap map() const { return HeaderMap(fields_.first(count_), present_, repeated_); }

 private:
  // A known name needs no check of its characters: to be equal to one is to be a token.
  bool read_name(HeaderField& field) {
    if (end_ + 2 - at_ < static_cast<ptrdiff_t>(kBlockBytes)) return read_name_slowly(field);
    const ByteBlock block = ByteBlock::load(at_);
    const uint32_t colons = block.equal(':');
    if (colons == 0) return read_name_slowly(field);
    const auto length = static_cast<size_t>(std::countr_zero(colons));
    if (length == 0) return false;
    field.name = {at_, length};
    field.id = header_names::find(at_, length, block);
    if (field.id == HeaderId::other && (block.not_name() & ((1u << length) - 1)) != 0 &&
        !is_token(field.name)) {
      return false;
    }
    at_ += length + 1;
    return true;
  }

  bool read_name_slowly(HeaderField& field) {
    const char* at = at_;
    while (is_byte(*at, byte_class::kToken)) ++at;  // ends at the CR at the latest
    field.name = {at_, static_cast<size_t>(at - at_)};
    if (field.name.empty() || *at != ':') return false;
    field.id = header_id(field.name);
    at_ = at + 1;
    return true;
  }

  void read_value(HeaderField& field) {
    while (is_space(*at_)) ++at_;
    const char* const line_end = find_line_end(begin_, at_, end_);
    const char* value_end = line_end;
    while (value_end > at_ && is_space(value_end[-1])) --value_end;
    field.value = {at_, static_cast<size_t>(value_end - at_)};
    at_ = line_end + 2;
  }

  const char* begin_;
  const char* at_;
  const char* end_;
  std::span<HeaderField> fields_;
  size_t count_ = 0;
  uint64_t present_ = 0;
  uint64_t repeated_ = 0;
};

// "HTTP/1.0" or "HTTP/1.1" and nothing else (the text is exactly eight bytes).
bool read_version(const char* text, Version& version) {
  if (std::memcmp(text, kVersionStem.data(), kVersionStem.size()) != 0) return false;
  const char minor = text[kVersionStem.size()];
  version = minor == '0' ? Version::http10 : Version::http11;
  return minor == '0' || minor == '1';
}

// Is it any version at all (RFC 9112 §2.3), so that the answer is 505 and not 400?
bool is_foreign_version(std::string_view text) {
  return text.size() == kVersionBytes && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' &&
         is_digit(text[7]);
}

bool is_visible_ascii(const char* begin, std::string_view text) {
  const char* const end = text.data() + text.size();
  return find_in_blocks(begin, text.data(), end, [](ByteBlock block) { return block.not_visible(); }) == end;
}

// METHOD SP TARGET SP VERSION. The version is looked at first: it has a fixed place, and without it nothing
// else counts.
Result<void> read_request_line(std::string_view line, RequestHead& head) {
  const size_t method_end = line.find(' ');
  if (method_end == std::string_view::npos || line.size() < method_end + 2 + kVersionBytes + 1 ||
      line[line.size() - kVersionBytes - 1] != ' ') {
    return Error{Reason::bad_request_line, "not METHOD SP TARGET SP VERSION"};
  }
  head.method_text = line.substr(0, method_end);
  head.target = line.substr(method_end + 1, line.size() - method_end - kVersionBytes - 2);
  if (!is_visible_ascii(line.data(), head.target)) {
    return Error{Reason::bad_request_line, "white space or a byte past ASCII in the target"};
  }
  head.method = method_from(head.method_text);
  if (head.method == Method::unknown && !is_token(head.method_text)) {
    return Error{Reason::bad_request_line, "the method is no token"};
  }
  const std::string_view version = line.substr(line.size() - kVersionBytes);
  if (!read_version(version.data(), head.version)) {
    if (is_foreign_version(version)) return Error{Reason::bad_version, "neither HTTP/1.0 nor HTTP/1.1"};
    return Error{Reason::bad_request_line, "no HTTP version"};
  }
  if (head.method == Method::unknown) return Error{Reason::bad_method, "unknown method"};
  return {};
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

std::string_view first_line(std::string_view head) {
  const char* const end = head.data() + head.size();
  return {head.data(), static_cast<size_t>(find_line_end(head.data(), head.data(), end) - head.data())};
}

}  // namespace

Result<RequestHead> parse_request(std::string_view head, std::span<HeaderField> fields) {
  SL_ASSERT(head.ends_with("\r\n\r\n"));
  RequestHead request;
  const std::string_view line = first_line(head);
  if (const Result<void> read = read_request_line(line, request); !read) return read.error();
  FieldReader reader(head, line.size() + 2, fields);
  if (const char* wrong = reader.read_all(); wrong != nullptr) return Error{Reason::bad_header, wrong};
  request.headers = reader.map();
  return request;
}

Result<ResponseHead> parse_response(std::string_view head, std::span<HeaderField> fields) {
  SL_ASSERT(head.ends_with("\r\n\r\n"));
  ResponseHead response;
  const std::string_view line = first_line(head);
  if (const char* wrong = read_status_line(line, response); wrong != nullptr) {
    return Error{Reason::upstream_bad_response, wrong};
  }
  FieldReader reader(head, line.size() + 2, fields);
  if (const char* wrong = reader.read_all(); wrong != nullptr)
    return Error{Reason::upstream_bad_response, wrong};
  response.headers = reader.map();
  return response;
}

Result<HeaderMap> parse_fields(std::string_view block, std::span<HeaderField> fields) {
  SL_ASSERT(block.ends_with("\r\n"));
  FieldReader reader(block, 0, fields);
  if (const char* wrong = reader.read_all(); wrong != nullptr) return Error{Reason::bad_header, wrong};
  return reader.map();
}

bool is_token(std::string_view text) {
  return !text.empty() && all_bytes(text, byte_class::kToken);
}

bool is_field_value(std::string_view text) {
  return all_bytes(text, byte_class::kField) &&
         (text.empty() || (!is_space(text.front()) && !is_space(text.back())));
}

}  // namespace sluice::http
