#include "proxy/access_log_line.h"

#include <cstring>

#include "proxy/access_log_copy.h"

namespace sluice::proxy {

namespace {

template <size_t N>
[[gnu::always_inline]] inline char* write_literal(char* out, const char (&text)[N]) {
  std::memcpy(out, text, N - 1);
  return out + N - 1;
}

// Texts as they are; all_plain() then says whether that was right. JsonTexts and EscapedTexts are for when it
// was not.
struct CopiedTexts : TextCopier {
  [[gnu::always_inline]] char* write(char* out, std::string_view value) { return copy(out, value); }
};
struct JsonTexts {
  char* write(char* out, std::string_view value) { return write_json_text(out, value); }
};
struct EscapedTexts {
  char* write(char* out, std::string_view value) { return write_plain_text(out, value); }
};

// How each kind of SL_LOG_FIELDS is written, without quotes.
template <typename Texts>
struct Kinds {
  [[gnu::always_inline]] char* text(char* out, std::string_view value) { return texts.write(out, value); }
  [[gnu::always_inline]] char* number(char* out, uint64_t value) { return write_number(out, value); }
  [[gnu::always_inline]] char* flag(char* out, bool value) {
    return value ? write_literal(out, "true") : write_literal(out, "false");
  }
  char* rfc3339(char* out, Micros value) { return times.write_rfc3339(out, value); }
  char* clf(char* out, Micros value) { return times.write_clf(out, value); }

  LogTime& times;
  Texts texts{};
};

#define SL_QUOTE_text "\""
#define SL_QUOTE_rfc3339 "\""
#define SL_QUOTE_number ""
#define SL_QUOTE_flag ""

template <typename Texts>
[[gnu::always_inline]] inline char* write_json(char* out, Kinds<Texts>& kinds, const AccessRecord& r) {
  char* const begin = out;
#define SL_ROW(name, kind, value, help)                        \
  out = write_literal(out, ",\"" #name "\":" SL_QUOTE_##kind); \
  out = kinds.kind(out, value);                                \
  out = write_literal(out, SL_QUOTE_##kind);
  SL_LOG_FIELDS(SL_ROW)
#undef SL_ROW
  *begin = '{';  // instead of the first field's comma
  return write_literal(out, "}\n");
}

// In templates "-" stands for a text that is not there.
template <typename Texts>
struct TemplateKinds : Kinds<Texts> {
  char* text(char* out, std::string_view value) {
    return value.empty() ? write_literal(out, "-") : this->texts.write(out, value);
  }
};

template <typename Texts>
char* write_parts(char* out, TemplateKinds<Texts>& kinds, const std::vector<LogFormat::Part>& parts,
                  const AccessRecord& r) {
  for (const LogFormat::Part& part : parts) {
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
  return write_literal(out, "\n");
}

[[gnu::cold]] char* write_escaped_json(char* out, LogTime& times, const AccessRecord& record) {
  Kinds<JsonTexts> kinds{times};
  return write_json(out, kinds, record);
}

}  // namespace

char* AccessLogLine::write(char* out, const LogFormat& format, const AccessRecord& record) {
  if (format.kind() == LogFormat::Kind::json) {
    Kinds<CopiedTexts> kinds{time_};
    char* const end = write_json(out, kinds, record);
    return kinds.texts.all_plain() ? end : write_escaped_json(out, time_, record);
  }
  TemplateKinds<CopiedTexts> kinds{{time_}};
  char* const end = write_parts(out, kinds, format.parts(), record);
  if (kinds.texts.all_plain()) return end;
  TemplateKinds<EscapedTexts> careful{{time_}};
  return write_parts(out, careful, format.parts(), record);
}

}  // namespace sluice::proxy
