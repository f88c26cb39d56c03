#include "stats/number.h"

#include <charconv>

namespace sluice::stats {

namespace {
void append_integer(std::string& out, uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}
}  // namespace

void append_number(std::string& out, const FamilyRow& row, uint64_t value) {
  if (row.kind == Kind::gauge && static_cast<int64_t>(value) < 0) {
    out += '-';
    value = ~value + 1;
  }
  if (row.unit != Unit::micros) return append_integer(out, value);
  append_integer(out, value / 1'000'000);
  const auto micros = static_cast<uint32_t>(value % 1'000'000);
  if (micros == 0) return;
  char fraction[] = ".000000";
  for (uint32_t i = 6, rest = micros; i > 0; --i, rest /= 10) fraction[i] = static_cast<char>('0' + rest % 10);
  out.append(fraction, std::string_view(fraction).find_last_not_of('0') + 1);
}

}  // namespace sluice::stats
