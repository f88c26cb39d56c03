// What both targets of HTTP/2 ask of what is sent.
#pragma once

#include <string_view>

#include "check.h"

namespace sluice::fuzz {

/// `bytes` are whole frames, and none is larger than a peer takes that said nothing of it.
inline void check_frames(std::string_view bytes) {
  constexpr size_t kHead = 9;
  while (!bytes.empty()) {
    FUZZ_CHECK(bytes.size() >= kHead);
    const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<uint8_t>(bytes[at])); };
    const size_t length = byte(0) << 16 | byte(1) << 8 | byte(2);
    FUZZ_CHECK(length <= 16384 && bytes.size() >= kHead + length);
    bytes.remove_prefix(kHead + length);
  }
}

}  // namespace sluice::fuzz
