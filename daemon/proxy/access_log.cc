#include "proxy/access_log.h"

#include <cstring>

namespace sluice::proxy {

namespace {

constexpr size_t kTexts = 10;
constexpr std::string_view AccessRecord::* kTextMembers[kTexts] = {
    &AccessRecord::request_id, &AccessRecord::client,     &AccessRecord::method,  &AccessRecord::host,
    &AccessRecord::target,     &AccessRecord::route,      &AccessRecord::endpoint, &AccessRecord::user_agent,
    &AccessRecord::referer,    &AccessRecord::protocol,
};

size_t text_bytes_of(const AccessRecord& record) {
  size_t sum = 0;
  for (const auto member : kTextMembers) sum += (record.*member).size();
  return sum;
}

template <size_t N>
char* write_literal(char* out, const char (&text)[N]) {
  std::memcpy(out, text, N - 1);
  return out + N - 1;
}

// The kinds of SL_LOG_FIELDS, as a JSON value wants them.
struct JsonKinds {
  std::string& scratch;
  LogTime& times;

  char* text(char* out, std::string_view value) const {
    *out++ = '"';
    out = write_json_text(out, value, scratch);
    *out++ = '"';
    return out;
  }
  char* rfc3339(char* out, Micros value) const {
    *out++ = '"';
    out = times.write_rfc3339(out, value);
    *out++ = '"';
    return out;
  }
  char* number(char* out, uint64_t value) const { return write_number(out, value); }
  char* flag(char* out, bool value) const { return value ? write_literal(out, "true") : write_literal(out, "false"); }
};

// ... and as a template wants them: bare, with "-" for what is not there.
struct PlainKinds {
  LogTime& times;

  char* text(char* out, std::string_view value) const {
    return value.empty() ? write_literal(out, "-") : write_plain_text(out, value);
  }
  char* rfc3339(char* out, Micros value) const { return times.write_rfc3339(out, value); }
  char* clf(char* out, Micros value) const { return times.write_clf(out, value); }
  char* number(char* out, uint64_t value) const { return write_number(out, value); }
  char* flag(char* out, bool value) const { return value ? write_literal(out, "true") : write_literal(out, "false"); }
};

}  // namespace

void AccessLog::write(const AccessRecord& record) {
  if (!enabled()) return;
  if (record.status < 500 && !sampled()) return;
  const size_t text_bytes = text_bytes_of(record);
  if (text_bytes <= kMaxTextBytes) [[likely]] return write_line(record, text_bytes);
  AccessRecord cut = record;
  for (const auto member : kTextMembers) cut.*member = (cut.*member).substr(0, kMaxTextBytes / kTexts);
  write_line(cut, text_bytes_of(cut));
}

void AccessLog::write_line(const AccessRecord& record, size_t text_bytes) {
  char* const begin = ring_->reserve(format_.line_bound(text_bytes));
  if (begin == nullptr) return;
  char* end = format_.kind() == LogFormat::Kind::json ? write_json(begin, record) : write_template(begin, record);
  *end++ = '\n';
  ring_->commit(static_cast<size_t>(end - begin));
}

char* AccessLog::write_json(char* out, const AccessRecord& r) {
  const JsonKinds kinds{scratch_, time_};
  char* const begin = out;
#define SL_ROW(name, kind, value, help)      \
  out = write_literal(out, ",\"" #name "\":"); \
  out = kinds.kind(out, value);
  SL_LOG_FIELDS(SL_ROW)
#undef SL_ROW
  *begin = '{';  // instead of the first field's comma
  *out++ = '}';
  return out;
}

char* AccessLog::write_template(char* out, const AccessRecord& r) {
  const PlainKinds kinds{time_};
  for (const LogFormat::Part& part : format_.parts()) {
    switch (part.field) {
#define SL_ROW(name, kind, value, help) \
  case LogField::name: out = kinds.kind(out, value); break;
      SL_LOG_FIELDS(SL_ROW)
      SL_LOG_TEMPLATE_FIELDS(SL_ROW)
#undef SL_ROW
      case LogField::literal:
        std::memcpy(out, part.text.data(), part.text.size());
        out += part.text.size();
        break;
    }
  }
  return out;
}

bool AccessLog::sampled() {
  constexpr uint64_t kAll = uint64_t{1} << 32;
  if (format_.sample() >= kAll) return true;
  // Knuth's 64-bit linear congruence; its upper half is good enough to pick lines.
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  return (random_ >> 32) < format_.sample();
}

}  // namespace sluice::proxy
