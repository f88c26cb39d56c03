#include "proxy/ids.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/strings.h"

namespace sluice::proxy {

namespace {
// Eight hex digits at once: the nibbles are spread over the bytes of a word, and every byte past 9 is moved on to 'a'.
// The order of the digits within the word does not matter: the ids are random.
void write_hex_digits(uint32_t value, char* out) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  uint64_t nibbles = value;
  nibbles = (nibbles | nibbles << 16) & 0x0000ffff0000ffff;
  nibbles = (nibbles | nibbles << 8) & 0x00ff00ff00ff00ff;
  nibbles = (nibbles | nibbles << 4) & 0x0f0f0f0f0f0f0f0f;
  const uint64_t letters = ((nibbles + 6 * kOnes) >> 4) & kOnes;
  const uint64_t digits = nibbles + '0' * kOnes + letters * ('a' - '0' - 10);
  std::memcpy(out, &digits, sizeof(digits));
}

void write_hex(uint64_t value, char* out) {
  write_hex_digits(static_cast<uint32_t>(value), out);
  write_hex_digits(static_cast<uint32_t>(value >> 32), out + 8);
}

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }
}  // namespace

void write_request_id(Random& random, char* out) {
  write_hex(random.next(), out);
  write_hex(random.next() | 1, out + 16);  // never all zero, so that it can be a trace id
}

void write_traceparent(std::string_view trace_id, Random& random, char* out) {
  SL_ASSERT(trace_id.size() == kRequestIdBytes);
  std::memcpy(out, "00-", 3);
  std::memcpy(out + 3, trace_id.data(), kRequestIdBytes);
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
