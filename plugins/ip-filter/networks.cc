#include "ip-filter/networks.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluice::ip_filter {

namespace {

constexpr uint64_t kMapped = 0xffffu;  // ::ffff:0:0/96, the upper half of the lower 64 bits

uint64_t read_big_endian(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

void write_big_endian(uint64_t value, uint8_t* bytes) {
  for (int i = 7; i >= 0; --i, value >>= 8) bytes[i] = static_cast<uint8_t>(value);
}

// As written: without unmapping.
std::optional<Address> parse_as_written(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof(terminated) || text.find('\0') != std::string_view::npos) return std::nullopt;
  *std::copy(text.begin(), text.end(), terminated) = 0;
  if (in_addr v4{}; inet_pton(AF_INET, terminated, &v4) == 1) return ntohl(v4.s_addr);
  in6_addr v6{};
  if (inet_pton(AF_INET6, terminated, &v6) != 1) return std::nullopt;
  return V6{read_big_endian(v6.s6_addr), read_big_endian(v6.s6_addr + 8)};
}

bool is_mapped(V6 address) { return address.high == 0 && address.low >> 32 == kMapped; }

std::string to_string(Address address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (const V4* v4 = std::get_if<V4>(&address)) {
    const in_addr raw{htonl(*v4)};
    inet_ntop(AF_INET, &raw, text, sizeof(text));
  } else {
    in6_addr raw{};
    write_big_endian(std::get<V6>(address).high, raw.s6_addr);
    write_big_endian(std::get<V6>(address).low, raw.s6_addr + 8);
    inet_ntop(AF_INET6, &raw, text, sizeof(text));
  }
  return text;
}

// All ones behind the first `bits`.
V4 host_mask_v4(unsigned bits) { return bits >= 32 ? 0 : UINT32_MAX >> bits; }
uint64_t host_mask_64(unsigned bits) { return bits >= 64 ? 0 : UINT64_MAX >> bits; }
V6 host_mask_v6(unsigned bits) { return {host_mask_64(bits), host_mask_64(bits < 64 ? 0 : bits - 64)}; }

// Ranges that overlap become one; then each begins behind the end of the one before.
template <typename T>
void merge(std::vector<std::pair<T, T>>& ranges) {
  std::sort(ranges.begin(), ranges.end());
  size_t kept = 0;
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first <= ranges[kept].second) {
      ranges[kept].second = std::max(ranges[kept].second, ranges[i].second);
    } else {
      ranges[++kept] = ranges[i];
    }
  }
  if (!ranges.empty()) ranges.resize(kept + 1);
  ranges.shrink_to_fit();
}

template <typename T>
bool is_in(const std::vector<std::pair<T, T>>& ranges, T address) {
  const auto behind = std::upper_bound(ranges.begin(), ranges.end(), address,
                                       [](const T& value, const auto& range) { return value < range.first; });
  return behind != ranges.begin() && address <= std::prev(behind)->second;
}

}  // namespace

std::optional<Address> parse_address(std::string_view text) {
  std::optional<Address> address = parse_as_written(text);
  if (!address) return std::nullopt;
  const V6* v6 = std::get_if<V6>(&*address);
  if (v6 != nullptr && is_mapped(*v6)) return static_cast<V4>(v6->low);
  return address;
}

std::string Networks::add(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<Address> address = parse_as_written(text.substr(0, slash));
  if (!address) return "\"" + std::string(text) + "\" is not a network; write 10.0.0.0/8, 2001:db8::/32 or an address";
  const bool is_v4 = std::holds_alternative<V4>(*address);
  const unsigned longest = is_v4 ? 32 : 128;
  unsigned bits = longest;
  if (slash != std::string_view::npos) {
    const std::string_view length = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
    if (error != std::errc() || end != length.data() + length.size() || bits > longest)
      return "\"" + std::string(text) + "\": the number behind the slash is 0 to " + std::to_string(longest);
  }
  const auto rounded = [&](Address first) {
    return "\"" + std::string(text) + "\" is not the first address of its network; write " + to_string(first) + "/" +
           std::to_string(bits);
  };
  if (is_v4) {
    const V4 first = std::get<V4>(*address);
    const V4 mask = host_mask_v4(bits);
    if ((first & mask) != 0) return rounded(first & ~mask);
    v4_.emplace_back(first, first | mask);
    return {};
  }
  const V6 first = std::get<V6>(*address);
  const V6 mask = host_mask_v6(bits);
  if ((first.high & mask.high) != 0 || (first.low & mask.low) != 0)
    return rounded(V6{first.high & ~mask.high, first.low & ~mask.low});
  if (is_mapped(first) && bits >= 96) {
    v4_.emplace_back(static_cast<V4>(first.low), static_cast<V4>(first.low | mask.low));
  } else {
    v6_.emplace_back(first, V6{first.high | mask.high, first.low | mask.low});
  }
  return {};
}

void Networks::sort() {
  merge(v4_);
  merge(v6_);
}

bool Networks::contains(const Address& address) const {
  if (const V4* v4 = std::get_if<V4>(&address)) return is_in(v4_, *v4);
  return is_in(v6_, std::get<V6>(address));
}

}  // namespace sluice::ip_filter
