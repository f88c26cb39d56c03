// The value of Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-06 §2.1): a string of Structured Fields (RFC 8941
// §3.3.3), or bare, as most clients write it. "abc" and abc are the same key.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::idempotency {

constexpr size_t kMaxKeyBytes = 255;

/// The key, written to the front of `out` (of kMaxKeyBytes); nothing if it is empty, longer, a list, has parameters, or is no
/// printable ASCII.
std::optional<std::string_view> parse_key(std::string_view value, std::span<char> out);

}  // namespace sluice::idempotency
