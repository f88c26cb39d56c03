#include "proxy/access_log_text.h"

#include <ctime>
#include <string>

#include "base/strings.h"
#include "proxy/access_log_copy.h"

namespace sluice::proxy {

namespace {

constexpr auto make_small_numbers() {
  std::array<std::array<char, 4>, 1000> texts{};
  for (size_t value = 0; value < texts.size(); ++value) {
    const size_t length = value < 10 ? 1 : value < 100 ? 2 : 3;
    size_t rest = value;
    for (size_t at = length; at > 0; --at, rest /= 10) texts[value][at - 1] = static_cast<char>('0' + rest % 10);
    texts[value][3] = static_cast<char>(length);
  }
  return texts;
}

// Three digits, with zeros in front.
char* write_padded(char* out, uint64_t below_1000) {
  const auto& text = kSmallNumbers[below_1000];
  std::memcpy(out, "000", 3);
  std::memcpy(out + 3 - text[3], text.data(), 4);
  return out + 3;
}

}  // namespace

constexpr std::array<std::array<char, 4>, 1000> kSmallNumbers = make_small_numbers();

char* write_json_text(char* out, std::string_view text) {
  TextCopier copier;
  char* const end = copier.copy(out, text);
  if (copier.all_plain()) return end;
  std::string escaped;
  append_json_escaped(escaped, text);
  std::memcpy(out, escaped.data(), escaped.size());
  return out + escaped.size();
}

char* write_plain_text(char* out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(byte)) {
      *out++ = c;
    } else {
      const char escape[4] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      std::memcpy(out, escape, 4);
      out += 4;
    }
  }
  return out;
}

char* write_large_number(char* out, uint64_t value) {
  out = write_number(out, value / 1000);
  return write_padded(out, value % 1000);
}

char* LogTime::write_rfc3339(char* out, Micros wall) {
  const uint64_t millis = into_second(wall) / 1000;
  std::memcpy(out, rfc3339_, 20);
  write_padded(out + 20, millis);
  out[23] = 'Z';
  return out + kRfc3339Bytes;
}

char* LogTime::write_clf(char* out, Micros wall) {
  into_second(wall);
  std::memcpy(out, clf_, kClfBytes);
  return out + kClfBytes;
}

uint64_t LogTime::into_second(Micros wall) {
  constexpr uint64_t kSecond = 1'000'000;
  const uint64_t into = static_cast<uint64_t>(wall.count()) - static_cast<uint64_t>(second_.count());
  if (into < kSecond) [[likely]]
    return into;
  update(wall);
  return static_cast<uint64_t>((wall - second_).count());
}

void LogTime::update(Micros wall) {
  const auto second = std::chrono::floor<Seconds>(wall);
  const time_t time = second.count();
  tm parts{};
  gmtime_r(&time, &parts);
  strftime(rfc3339_, sizeof(rfc3339_), "%Y-%m-%dT%H:%M:%S.", &parts);
  strftime(clf_, sizeof(clf_), "%d/%b/%Y:%H:%M:%S +0000", &parts);  // no setlocale() here: names stay English
  second_ = second;
}

}  // namespace sluice::proxy
