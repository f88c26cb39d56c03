// What a client says of content codings: Accept-Encoding as RFC 9110 §12.5.3 has it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::compress {

enum class Coding : uint8_t { gzip, br, zstd };
constexpr size_t kCodings = 3;
std::string_view name(Coding coding);

/// The weights of one request, in thousandths.
class AcceptEncoding {
 public:
  /// One field's value. An element that is malformed does not count.
  void add(std::string_view value);

  /// The one of `offered` with the greatest weight, the first of equals; nothing if all are refused, or the client would rather
  /// have the content as it is. No field at all asks for no coding.
  [[nodiscard]] std::optional<Coding> choose(std::span<const Coding> offered) const;

 private:
  void add_element(std::string_view element);

  std::array<std::optional<uint16_t>, kCodings> weights_;
  std::optional<uint16_t> identity_;
  std::optional<uint16_t> rest_;  // "*"
};

}  // namespace sluice::compress
