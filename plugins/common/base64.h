// Base64 as RFC 4648 has it, strictly: no white space, no bits left over.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

/// The bytes that `text` stands for, written to the front of `out`; nothing if it is malformed or they do not fit.
/// §4: padded.
std::optional<std::string_view> decode_base64(std::string_view text, std::span<char> out);
/// §5, for URLs and file names, and without padding, as RFC 7515 writes it.
std::optional<std::string_view> decode_base64url(std::string_view text, std::span<char> out);

/// Has no other characters than those of §5; not that anything can be decoded.
bool is_base64url(std::string_view text);

constexpr size_t base64url_size(size_t bytes) { return (bytes * 4 + 2) / 3; }
/// In the alphabet for URLs, without padding, at the front of `out`, which has room for base64url_size() of it.
std::string_view encode_base64url(std::string_view bytes, std::span<char> out);

}  // namespace sluice
