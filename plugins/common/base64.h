// Base64 as RFC 4648 §4 has it, strictly: padded, no white space, no bits left over.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

/// The bytes that `text` stands for, written to the front of `out`; nothing if it is malformed or they do not fit.
std::optional<std::string_view> decode_base64(std::string_view text, std::span<char> out);

}  // namespace sluice
