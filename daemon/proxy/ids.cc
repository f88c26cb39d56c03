#include "proxy/ids.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.h"

namespace sluice::proxy {

namespace {
// Two hex digits for every byte value: one load and one store for each byte of an id.
constexpr auto kHexPairs = [] {
  std::array<char, 512> table{};
  for (size_t i = 0; i < 256; ++i) {
    table[2 * i] = "0123456789abcdef"[i >> 4];
    table[2 * i + 1] = "0123456789abcdef"[i & 15];
  }
  return table;
}();

void write_hex(uint64_t value, char* out) {
  for (int i = 0; i < 8; ++i) std::memcpy(out + 2 * i, &kHexPairs[2 * ((value >> (56 - 8 * i)) & 255)], 2);
}

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}
}  // namespace

void write_request_id(Random& random, char* out) {
  write_hex(random.next(), out);
  write_hex(random.next(), out + 16);
}

void write_traceparent(Random& random, char* out) {
  std::memcpy(out, "00-", 3);
  write_hex(random.next(), out + 3);
  write_hex(random.next() | 1, out + 19);  // neither id may be all zero
  out[35] = '-';
  write_hex(random.next() | 1, out + 36);
  std::memcpy(out + 52, "-00", 3);
}

bool is_acceptable_request_id(std::string_view id) {
  constexpr std::string_view kAlso = "-_.:/+=@";
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [&](char c) {
    return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'z') || kAlso.find(c) != std::string_view::npos;
  });
}

bool is_valid_traceparent(std::string_view value) {
  return value.size() == kTraceparentBytes && value.substr(0, 3) == "00-" && value[35] == '-' && value[52] == '-' &&
         is_lower_hex(value.substr(3, 32)) && is_lower_hex(value.substr(36, 16)) && is_lower_hex(value.substr(53)) &&
         !all_zero(value.substr(3, 32)) && !all_zero(value.substr(36, 16));
}

}  // namespace sluice::proxy
