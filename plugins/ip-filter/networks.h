// Networks: a set of IPv4 and IPv6 networks that tells fast whether an address is in one of them: ranges that do not overlap, sorted,
// and a binary search. An IPv4 address is the same whether it comes as IPv4 or mapped into IPv6 (::ffff:192.0.2.1). Built by the
// configuration, then immutable; asking allocates nothing.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::ip_filter {

/// In the order of the bytes on the wire.
using V4 = uint32_t;
struct V6 {
  uint64_t high;
  uint64_t low;
  friend auto operator<=>(const V6&, const V6&) = default;
};
using Address = std::variant<V4, V6>;

/// "192.0.2.7" or "2001:db8::1"; nothing if it is neither.
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);

class Networks {
 public:
  /// "10.0.0.0/8", "2001:db8::/32", or an address. Returns what is wrong with it, for a person; empty if it was added. "::/0" is all
  /// of IPv6, and nothing of IPv4.
  [[nodiscard]] std::string add(std::string_view text);
  /// After the last add(), before contains().
  void sort();

  [[nodiscard]] bool empty() const { return v4_.empty() && v6_.empty(); }
  [[nodiscard]] bool contains(const Address& address) const;

 private:
  template <typename T>
  using Ranges = std::vector<std::pair<T, T>>;  // first and last address

  Ranges<V4> v4_;
  Ranges<V6> v6_;
};

}  // namespace sluice::ip_filter
