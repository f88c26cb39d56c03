#include "control/diagnostic.h"

#include <algorithm>
#include <tuple>

#include "base/format.h"

namespace sluice::control {

namespace {

constexpr size_t kMaxShownColumns = 160;

bool is_continuation_byte(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// White space that is as wide as `text` on a terminal: tabs stay tabs, a UTF-8 sequence is one column.
std::string padding_for(std::string_view text) {
  std::string padding;
  for (const char c : text) {
    if (!is_continuation_byte(c)) padding += c == '\t' ? '\t' : ' ';
  }
  return padding;
}

}  // namespace

std::string to_text(const Diagnostic& diagnostic, Severity severity, bool colour) {
  const bool is_error = severity == Severity::error;
  const std::string_view word = is_error ? "error" : "warning";
  const std::string_view tint = !colour ? "" : is_error ? "\033[1;31m" : "\033[1;33m";
  const std::string_view plain = colour ? "\033[0m" : "";
  std::string out = diagnostic.file;
  if (diagnostic.line > 0) out += fmt::format(":{}:{}", diagnostic.line, diagnostic.column);
  out += fmt::format(": {}{}:{} {}\n", tint, word, plain, diagnostic.message);
  if (diagnostic.source_line.empty()) return out;
  const std::string_view line = diagnostic.source_line;
  const std::string_view before = line.substr(0, std::min<size_t>(diagnostic.column - 1, line.size()));
  out += fmt::format("    {}\n    {}{}^{}\n", line, padding_for(before), tint, plain);
  return out;
}

uint32_t Diagnostics::add_file(std::string name, std::string text) {
  files_.push_back({std::move(name), std::move(text)});
  return static_cast<uint32_t>(files_.size() - 1);
}

void Diagnostics::error(Place place, std::string message) {
  ++error_count_;
  if (!full()) errors_.push_back({place, std::move(message)});
}

void Diagnostics::warning(Place place, std::string message) {
  if (warnings_.size() < kMaxKept) warnings_.push_back({place, std::move(message)});
}

std::string_view Diagnostics::source_line(Place place) const {
  std::string_view text = files_[place.file].text;
  for (uint32_t line = 1; line < place.line; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find_first_of("\r\n"));
}

std::string Diagnostics::describe(Place place) const {
  return fmt::format("{}:{}", files_[place.file].name, place.line);
}

std::vector<Diagnostic> Diagnostics::errors() const {
  std::vector<Diagnostic> result = in_order(errors_);
  if (error_count_ > errors_.size()) {
    result.push_back({.file = files_.front().name,
                      .message = fmt::format("{} more errors are not shown", error_count_ - errors_.size())});
  }
  return result;
}

std::vector<Diagnostic> Diagnostics::warnings() const { return in_order(warnings_); }

std::vector<Diagnostic> Diagnostics::in_order(std::vector<Entry> entries) const {
  const auto key = [](const Entry& e) { return std::tie(e.place.file, e.place.line, e.place.column); };
  std::stable_sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
  // What stands behind an alias is compiled once per use, and is wrong once per use.
  const auto last = std::unique(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) {
    return key(a) == key(b) && a.message == b.message;
  });
  std::vector<Diagnostic> result;
  for (auto entry = entries.begin(); entry != last; ++entry) result.push_back(resolve(*entry));
  return result;
}

Diagnostic Diagnostics::resolve(const Entry& entry) const {
  Diagnostic made{
      .file = name(entry.place.file), .line = entry.place.line, .column = entry.place.column, .message = entry.message};
  if (made.line == 0 || made.column > kMaxShownColumns) return made;
  std::string_view line = source_line(entry.place).substr(0, kMaxShownColumns);
  while (!line.empty() && is_continuation_byte(line.back())) line.remove_suffix(1);
  made.source_line = line;
  // The file's bytes go to a terminal: nothing in them may move the cursor.
  std::replace_if(
      made.source_line.begin(), made.source_line.end(),
      [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }, '?');
  return made;
}

}  // namespace sluice::control
