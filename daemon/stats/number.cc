#include "stats/number.h"

#include <charconv>

namespace sluice::stats {

namespace {
void append_integer(std::string& out, uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

// `value` counts units of 10^-digits seconds.
void append_seconds(std::string& out, uint64_t value, uint32_t digits) {
  char fraction[] = ".000000000";
  bool whole = true;
  for (uint32_t i = digits; i > 0; --i, value /= 10) {
    whole = whole && value % 10 == 0;
    fraction[i] = static_cast<char>('0' + value % 10);
  }
  append_integer(out, value);
  if (!whole) out.append(fraction, std::string_view(fraction, digits + 1).find_last_not_of('0') + 1);
}
}  // namespace

void append_number(std::string& out, const FamilyRow& row, uint64_t value) {
  if (row.kind == Kind::gauge && static_cast<int64_t>(value) < 0) {
    out += '-';
    value = ~value + 1;
  }
  switch (row.unit) {
    case Unit::micros: return append_seconds(out, value, 6);
    case Unit::nanos: return append_seconds(out, value, 9);
    case Unit::none:
    case Unit::bytes: return append_integer(out, value);
  }
}

}  // namespace sluice::stats
