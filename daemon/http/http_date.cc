// The date functions of serializer.h: RFC 9110 §5.6.7's fixed form out, its three forms in.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/strings.h"
#include "http/serializer.h"

namespace sluice::http {

namespace {

constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr std::string_view kLongDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";

char* put_number(char* at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + digits;
}
char* put_text(char* at, std::string_view text) { return std::copy(text.begin(), text.end(), at); }

// Takes a date apart from left to right; any mismatch makes every later step fail, so that only the end asks.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : rest_(text) {}

  void literal(std::string_view text) {
    if (!rest_.starts_with(text)) return fail();
    rest_.remove_prefix(text.size());
  }
  /// The index of one of the three-letter names in `names`.
  unsigned name(std::string_view names) {
    const size_t at = rest_.size() < 3 ? std::string_view::npos : names.find(rest_.substr(0, 3));
    if (at == std::string_view::npos || at % 3 != 0) return fail(), 0;
    rest_.remove_prefix(3);
    return static_cast<unsigned>(at / 3);
  }
  void long_day() {
    for (const std::string_view day : kLongDays) {
      if (rest_.starts_with(day)) return rest_.remove_prefix(day.size());
    }
    fail();
  }
  unsigned number(size_t digits) {
    const auto value = rest_.size() < digits ? std::nullopt : parse_u64(rest_.substr(0, digits));
    if (!value) return fail(), 0;
    rest_.remove_prefix(digits);
    return static_cast<unsigned>(*value);
  }
  /// asctime pads the day with a space.
  unsigned padded_day() {
    if (!rest_.starts_with(' ')) return number(2);
    rest_.remove_prefix(1);
    return number(1);
  }
  void time() {
    seconds_ = number(2) * 3600;
    if (seconds_ > 23 * 3600) fail();
    literal(":");
    const unsigned minutes = number(2);
    literal(":");
    const unsigned seconds = number(2);
    if (minutes > 59 || seconds > 60) fail();  // 60: a leap second
    seconds_ += minutes * 60 + seconds;
  }
  /// Unix seconds, or -1.
  [[nodiscard]] int64_t finish(unsigned year, unsigned month, unsigned day) const {
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(month + 1),
                                           std::chrono::day(day)};
    if (failed_ || !rest_.empty() || !date.ok()) return -1;
    return int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86400 + seconds_;
  }

 private:
  void fail() {
    failed_ = true;
    rest_ = {};
  }
  std::string_view rest_;
  unsigned seconds_ = 0;
  bool failed_ = false;
};

int64_t parse_imf(std::string_view text) {  // Sun, 06 Nov 1994 08:49:37 GMT
  DateReader in(text);
  in.name(kDays);
  in.literal(", ");
  const unsigned day = in.number(2);
  in.literal(" ");
  const unsigned month = in.name(kMonths);
  in.literal(" ");
  const unsigned year = in.number(4);
  in.literal(" ");
  in.time();
  in.literal(" GMT");
  return in.finish(year, month, day);
}

int64_t parse_rfc850(std::string_view text) {  // Sunday, 06-Nov-94 08:49:37 GMT
  DateReader in(text);
  in.long_day();
  in.literal(", ");
  const unsigned day = in.number(2);
  in.literal("-");
  const unsigned month = in.name(kMonths);
  in.literal("-");
  const unsigned year = in.number(2);
  in.literal(" ");
  in.time();
  in.literal(" GMT");
  // RFC 9110 wants the century that is at most 50 years ahead of now; this form died in the nineties, so
  // Unix' own epoch splits the century without asking a clock.
  return in.finish(year < 70 ? 2000 + year : 1900 + year, month, day);
}

int64_t parse_asctime(std::string_view text) {  // Sun Nov  6 08:49:37 1994
  DateReader in(text);
  in.name(kDays);
  in.literal(" ");
  const unsigned month = in.name(kMonths);
  in.literal(" ");
  const unsigned day = in.padded_day();
  in.literal(" ");
  in.time();
  in.literal(" ");
  const unsigned year = in.number(4);
  return in.finish(year, month, day);
}

}  // namespace

void write_http_date(int64_t unix_seconds, char* out) {
  using namespace std::chrono;
  const sys_seconds time{seconds(unix_seconds)};
  const sys_days midnight = floor<days>(time);
  const year_month_day date(midnight);
  const hh_mm_ss clock(time - midnight);
  char* at = put_text(out, kDays.substr(weekday(midnight).c_encoding() * 3, 3));
  at = put_number(put_text(at, ", "), static_cast<unsigned>(date.day()), 2);
  at = put_text(put_text(at, " "), kMonths.substr((static_cast<unsigned>(date.month()) - 1) * 3, 3));
  at = put_number(put_text(at, " "), static_cast<unsigned>(static_cast<int>(date.year())), 4);
  at = put_number(put_text(at, " "), static_cast<unsigned>(clock.hours().count()), 2);
  at = put_number(put_text(at, ":"), static_cast<unsigned>(clock.minutes().count()), 2);
  at = put_number(put_text(at, ":"), static_cast<unsigned>(clock.seconds().count()), 2);
  put_text(at, " GMT");
}

int64_t parse_http_date(std::string_view text) {
  if (text.size() > 3 && text[3] == ',') return parse_imf(text);
  return text.find(',') != std::string_view::npos ? parse_rfc850(text) : parse_asctime(text);
}

}  // namespace sluice::http
