#include "session/record.h"

#include <charconv>

namespace sluice::session {

namespace {

bool take_line(std::string_view& rest, std::string_view& line) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

}  // namespace

std::optional<Record> parse_record(std::string_view value) {
  Record record;
  std::string_view first;
  std::string_view until;
  if (!take_line(value, first) || !take_line(value, until) || !take_line(value, record.generation) ||
      !take_line(value, record.subject) || first.size() < 2)
    return std::nullopt;
  record.kind = static_cast<Record::Kind>(first.front());
  if (record.kind != Record::Kind::live && record.kind != Record::Kind::rotated) return std::nullopt;
  record.mark = first.substr(1);
  const auto parsed = std::from_chars(until.data(), until.data() + until.size(), record.until_ms);
  if (parsed.ec != std::errc() || parsed.ptr != until.data() + until.size()) return std::nullopt;
  record.data = value;
  return record;
}

std::string write_record(const Record& record) {
  std::string text = record.front() + std::to_string(record.until_ms);
  for (const std::string_view line : {record.generation, record.subject, record.data}) (text += '\n') += line;
  return text;
}

Standing standing_of(const Record& record, bool tagged, std::string_view generation, int64_t now_ms) {
  if (record.until_ms <= now_ms) return Standing::over;
  const bool same = tagged != record.generation.empty() && generation == record.generation;
  return same ? Standing::good : Standing::logged_out;
}

}  // namespace sluice::session
