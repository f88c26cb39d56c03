#include "control/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "base/format.h"
#include "base/strings.h"

namespace sluice::control {

namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr std::array<Unit, 4> kDurationUnits = {{{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 4> kSizeUnits = {
    {{"GiB", uint64_t{1} << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"B", 1}}};

// Takes the digits at the front of `text` off, and then the letters.
bool take_number_and_unit(std::string_view& text, uint64_t& number, std::string_view& unit) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<uint64_t> parsed = parse_u64(text.substr(0, digits));
  if (!parsed) return false;
  number = *parsed;
  text.remove_prefix(digits);
  const size_t letters = std::min(text.find_first_of("0123456789"), text.size());
  unit = text.substr(0, letters);
  text.remove_prefix(letters);
  return true;
}

constexpr size_t kMaxWord = 40;  // longer words are not mistyped keys

// Optimal string alignment: Levenshtein's distance, with a swap of neighbours as one edit.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, kMaxWord + 1>, kMaxWord + 1> cost;
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::optional<Millis> parse_duration(std::string_view text) {
  if (text == "0") return Millis(0);
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  size_t next_unit = 0;  // units before this index may not follow any more
  while (!text.empty()) {
    uint64_t number = 0;
    std::string_view name;
    if (!take_number_and_unit(text, number, name)) return std::nullopt;
    while (next_unit < kDurationUnits.size() && kDurationUnits[next_unit].name != name) ++next_unit;
    if (next_unit == kDurationUnits.size()) return std::nullopt;
    uint64_t part = 0;
    if (__builtin_mul_overflow(number, kDurationUnits[next_unit].factor, &part) ||
        __builtin_add_overflow(total, part, &total) || total > uint64_t{INT64_MAX}) {
      return std::nullopt;
    }
    ++next_unit;
  }
  return Millis(static_cast<int64_t>(total));
}

std::string format_duration(Millis duration) {
  uint64_t rest = static_cast<uint64_t>(duration.count());
  if (rest == 0) return "0";
  std::string text;
  for (const Unit& unit : kDurationUnits) {
    if (rest >= unit.factor) text += fmt::format("{}{}", rest / unit.factor, unit.name);
    rest %= unit.factor;
  }
  return text;
}

std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t number = 0;
  std::string_view name;
  if (!take_number_and_unit(text, number, name) || !text.empty()) return std::nullopt;
  if (name.empty()) return number;
  for (const Unit& unit : kSizeUnits) {
    if (unit.name != name) continue;
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(number, unit.factor, &bytes)) return std::nullopt;
    return bytes;
  }
  return std::nullopt;
}

std::string format_size(uint64_t bytes) {
  for (const Unit& unit : kSizeUnits) {
    if (bytes >= unit.factor && bytes % unit.factor == 0) return fmt::format("{}{}", bytes / unit.factor, unit.name);
  }
  return "0";
}

std::optional<double> parse_share(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  // std::from_chars alone would also take "inf", "nan" and exponents.
  if (text.empty() || text.size() > 20 || text.find_first_not_of("0123456789.") != std::string_view::npos)
    return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (percent) value /= 100;
  if (value > 1) return std::nullopt;
  return value;
}

std::string format_share(double share) { return fmt::format("{:g}%", share * 100); }

namespace {
bool is_label(std::string_view label) {
  constexpr size_t kLongest = 63;
  if (label.empty() || label.size() > kLongest || label.front() == '-' || label.back() == '-') return false;
  return label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == label.npos;
}
}  // namespace

std::optional<HostAndPort> parse_host_and_port(std::string_view text) {
  constexpr size_t kLongest = 253;
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  HostAndPort parsed;
  for (const char c : text.substr(0, colon)) parsed.host += to_lower(c);
  const std::optional<uint64_t> port = parse_u64(text.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535 || parsed.host.size() > kLongest) return std::nullopt;
  parsed.port = static_cast<uint16_t>(*port);
  std::string_view rest = parsed.host;
  if (rest.ends_with('.')) rest.remove_suffix(1);  // the root: no search domain is tried
  std::string_view label;
  for (bool more = true; more; rest.remove_prefix(more ? label.size() + 1 : 0)) {
    label = rest.substr(0, rest.find('.'));
    if (!is_label(label)) return std::nullopt;
    more = label.size() < rest.size();
  }
  // A name whose last label is a number is a misspelt IPv4 address (RFC 1123 §2.1).
  if (label.find_first_not_of("0123456789") == label.npos) return std::nullopt;
  return parsed;
}

bool is_printable(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

std::string with_article(std::string_view noun) {
  const bool vowel = !noun.empty() && std::string_view("aeiou").find(noun.front()) != std::string_view::npos;
  return fmt::format("{} {}", vowel ? "an" : "a", noun);
}

std::string shortened(std::string_view text) {
  constexpr size_t kMaxShown = 60;
  std::string shown(text.substr(0, kMaxShown));
  for (char& c : shown) {
    if (!is_printable({&c, 1})) c = '?';
  }
  return text.size() > kMaxShown ? shown + "..." : shown;
}

void Suggestion::consider(std::string_view candidate) {
  const size_t longest = std::max(word_.size(), candidate.size());
  const size_t shortest = std::min(word_.size(), candidate.size());
  const size_t allowed = std::max<size_t>(1, longest / 3);
  if (shortest == 0 || longest > kMaxWord || longest - shortest > allowed) return;
  const size_t distance = edit_distance(word_, candidate);
  if (distance > allowed || distance >= best_distance_) return;
  best_distance_ = distance;
  best_ = candidate;
}

std::string Suggestion::text() const {
  return best_.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", best_);
}

}  // namespace sluice::control
