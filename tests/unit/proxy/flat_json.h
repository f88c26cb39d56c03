// A strict reader of one JSON object without nesting (RFC 8259), to judge lines with other code than wrote
// them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::proxy {

class FlatJson {
 public:
  /// Names to values: strings with their quotes off and escapes of one byte decoded, others as they stand.
  /// Nothing if `text` is not valid.
  static std::optional<std::map<std::string, std::string>> parse(std::string_view text) {
    FlatJson reader{text};
    std::map<std::string, std::string> fields;
    if (!reader.object(fields) || !reader.text_.empty()) return std::nullopt;
    return fields;
  }

 private:
  explicit FlatJson(std::string_view text) : text_(text) {}

  bool object(std::map<std::string, std::string>& fields) {
    if (!take('{')) return false;
    do {
      std::string name;
      std::string value;
      if (!string(name) || !take(':') || !(string(value) || scalar(value))) return false;
      if (!fields.emplace(name, value).second) return false;
    } while (take(','));
    return take('}');
  }
  bool scalar(std::string& out) {
    const size_t end = text_.find_first_of(",}");
    if (end == std::string_view::npos) return false;
    out = text_.substr(0, end);
    text_.remove_prefix(end);
    if (out == "true" || out == "false") return true;
    return !out.empty() && out.find_first_not_of("0123456789") == std::string::npos && (out == "0" || out[0] != '0');
  }
  bool string(std::string& out) {
    if (!take('"')) return false;
    while (!text_.empty() && text_.front() != '"') {
      if (text_.front() == '\\' ? !escape(out) : !character(out)) return false;
    }
    return take('"');
  }
  bool escape(std::string& out) {
    constexpr std::string_view kShort = "\"\\/bfnrt";
    constexpr std::string_view kMeaning = "\"\\/\b\f\n\r\t";
    if (text_.size() < 2) return false;
    if (const size_t found = kShort.find(text_[1]); found != std::string_view::npos) {
      out += kMeaning[found];
      text_.remove_prefix(2);
      return true;
    }
    if (text_[1] != 'u' || text_.size() < 6) return false;
    unsigned point = 0;
    for (const char c : text_.substr(2, 4)) {
      const size_t digit = std::string_view("0123456789abcdef").find(c);
      if (digit == std::string_view::npos) return false;
      point = point * 16 + static_cast<unsigned>(digit);
    }
    out += point < 0x80 ? std::string(1, static_cast<char>(point)) : "\xef\xbf\xbd";  // only U+FFFD is written so
    text_.remove_prefix(6);
    return point < 0x80 || point == 0xfffd;
  }
  bool character(std::string& out) {
    const auto lead = static_cast<unsigned char>(text_.front());
    if (lead < 0x20 || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4) return false;
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (text_.size() < length) return false;
    for (const char c : text_.substr(1, length - 1)) {
      if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) return false;
    }
    out += text_.substr(0, length);
    text_.remove_prefix(length);
    return true;
  }
  bool take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string_view text_;
};

}  // namespace sluice::proxy
