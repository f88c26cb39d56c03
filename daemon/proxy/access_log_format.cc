#include "proxy/access_log_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "proxy/access_log_text.h"

namespace sluice::proxy {

namespace {
constexpr std::string_view kCombined =
    R"({client_ip} - - [{time_clf}] "{method} {path} {protocol}" {status} {bytes_out} "{referer}" "{user_agent}")";

constexpr std::string_view kFieldNames[] = {
#define SL_ROW(name, ...) #name,
    SL_LOG_FIELDS(SL_ROW) SL_LOG_TEMPLATE_FIELDS(SL_ROW)
#undef SL_ROW
};

// Anything but a text: a time, a number, or a reason's name.
constexpr size_t kMaxFieldBytes = 72;

#define SL_ROW(name, ...) +sizeof(",\"" #name "\":\"\"") + kMaxFieldBytes
constexpr size_t kJsonFixedBytes = sizeof("{}\n") SL_LOG_FIELDS(SL_ROW) + kTextSlack;
#undef SL_ROW

std::optional<LogField> field_from(std::string_view name) {
  const auto* found = std::find(std::begin(kFieldNames), std::end(kFieldNames), name);
  if (found == std::end(kFieldNames)) return std::nullopt;
  return static_cast<LogField>(found - std::begin(kFieldNames));
}

// Levenshtein's distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

std::string unknown_field(std::string_view wrong, size_t at) {
  std::string message = "unknown field {" + std::string(wrong) + "} at offset " + std::to_string(at);
  const auto* nearest = std::min_element(std::begin(kFieldNames), std::end(kFieldNames),
                                         [&](auto a, auto b) { return distance(wrong, a) < distance(wrong, b); });
  if (distance(wrong, *nearest) <= 1 + wrong.size() / 3) message += "; did you mean {" + std::string(*nearest) + "}?";
  message += message.ends_with("?") ? " Fields are:" : ". Fields are:";
  for (const std::string_view name : kFieldNames) message += " " + std::string(name);
  return message;
}
}  // namespace

std::string_view client_ip(std::string_view client) {
  if (client.starts_with('[')) return client.substr(1, client.find(']') - 1);
  return client.substr(0, client.find(':'));
}

std::optional<LogFormat> LogFormat::compile(const snapshot::AccessLogSpec& spec, std::string& error) {
  LogFormat format;
  format.kind_ = spec.format;
  format.sample_ = static_cast<uint64_t>(std::llround(std::clamp(spec.sample, 0.0, 1.0) * 0x1p32));
  if (spec.format == Kind::combined && !format.compile_template(kCombined, error)) return std::nullopt;
  if (spec.format == Kind::custom && !format.compile_template(spec.custom_text, error)) return std::nullopt;
  format.measure();
  return format;
}

bool LogFormat::compile_template(std::string_view source, std::string& error) {
  const auto fail = [&](std::string message) {
    error = std::move(message);
    return false;
  };
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) parts_.push_back({LogField::literal, std::move(literal)});
    literal.clear();
  };
  for (size_t at = 0; at < source.size(); ++at) {
    const char c = source[at];
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
      return fail("control character at offset " + std::to_string(at) + "; each line ends by itself");
    }
    if ((c == '{' || c == '}') && source.substr(at + 1, 1) == std::string_view(&c, 1)) {
      literal += c;  // "{{" and "}}" are literal braces
      ++at;
    } else if (c == '}') {
      return fail("'}' without '{' at offset " + std::to_string(at) + "; write '}}' for a literal brace");
    } else if (c == '{') {
      const size_t end = source.find('}', at);
      if (end == std::string_view::npos) {
        return fail("'{' at offset " + std::to_string(at) + " is not closed; write '{{' for a literal brace");
      }
      const std::string_view name = source.substr(at + 1, end - at - 1);
      const auto field = field_from(name);
      if (!field) return fail(unknown_field(name, at));
      end_literal();
      parts_.push_back({*field, {}});
      at = end;
    } else {
      literal += c;
    }
  }
  end_literal();
  return !parts_.empty() || fail("the template is empty");
}

void LogFormat::measure() {
  static_assert(static_cast<unsigned>(LogField::literal) < 64);
  constexpr auto bit_of = [](LogField field) { return uint64_t{1} << static_cast<unsigned>(field); };
#define SL_ROW(name, ...) named_ |= bit_of(LogField::name);
  if (kind_ == Kind::json) {
    SL_LOG_FIELDS(SL_ROW)
  }
#undef SL_ROW
  for (const Part& part : parts_) named_ |= bit_of(part.field);
  fixed_bytes_ = kJsonFixedBytes;
  text_factor_ = kMaxEscapedBytes;
  if (parts_.empty()) return;
  fixed_bytes_ = 1 + kTextSlack;
  std::array<size_t, static_cast<size_t>(LogField::literal) + 1> times{};  // each field is named
  for (const Part& part : parts_) {
    fixed_bytes_ += part.text.size() + kMaxFieldBytes;
    if (part.field != LogField::literal) ++times[static_cast<size_t>(part.field)];
  }
  // {client} and {client_ip} show the same bytes.
  times[static_cast<size_t>(LogField::client)] += times[static_cast<size_t>(LogField::client_ip)];
  text_factor_ = kMaxEscapedBytes * *std::max_element(times.begin(), times.end());
}

}  // namespace sluice::proxy
