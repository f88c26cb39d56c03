// Sixteen bytes looked at together: each question gives a mask with bit i for byte i. Sse2Block is what
// x86-64 runs; PortableBlock gives the same answers anywhere else (a test compares them). Values, no state.
// For http/ and snapshot/.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "http/bytes.h"

namespace sluice::http {

inline constexpr size_t kBlockBytes = 16;

class PortableBlock {
 public:
  static PortableBlock load(const char* at) {
    PortableBlock block;
    std::memcpy(block.bytes_, at, kBlockBytes);
    return block;
  }
  [[nodiscard]] uint32_t equal(char c) const {
    return mask([c](unsigned char byte) { return byte == static_cast<unsigned char>(c); });
  }
  /// Bytes that need a second look in a field line: control characters, DEL, and obs-text (0x80 and above).
  [[nodiscard]] uint32_t unusual() const {
    return mask([](unsigned char byte) { return byte < 0x20 || byte >= 0x7f; });
  }
  /// SP and what is below it, DEL, and 0x80 and above: everything that is not VCHAR.
  [[nodiscard]] uint32_t not_visible() const {
    return mask([](unsigned char byte) { return byte <= 0x20 || byte >= 0x7f; });
  }
  /// Anything but letters, digits and '-', which is what nearly every field name is made of.
  [[nodiscard]] uint32_t not_name() const {
    return mask([](unsigned char byte) { return !byte_class::is_alnum(byte) && byte != '-'; });
  }
  /// Bytes that, after their bits of `fold` are set, equal those of `text`; both are 16 bytes, 16-aligned.
  [[nodiscard]] uint32_t equal_folded(const char* text, const char* fold) const {
    uint32_t bits = 0;
    for (size_t i = 0; i < kBlockBytes; ++i) {
      bits |= static_cast<uint32_t>((bytes_[i] | static_cast<unsigned char>(fold[i])) ==
                                    static_cast<unsigned char>(text[i]))
              << i;
    }
    return bits;
  }

 private:
  template <typename Test>
  [[nodiscard]] uint32_t mask(Test test) const {
    uint32_t bits = 0;
    for (size_t i = 0; i < kBlockBytes; ++i) bits |= static_cast<uint32_t>(test(bytes_[i])) << i;
    return bits;
  }
  unsigned char bytes_[kBlockBytes];
};

#if defined(__SSE2__)
class Sse2Block {
 public:
  static Sse2Block load(const char* at) { return Sse2Block(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))); }
  [[nodiscard]] uint32_t equal(char c) const { return bits(_mm_cmpeq_epi8(v_, _mm_set1_epi8(c))); }
  // The comparison is signed: adding one turns DEL into -128, so that one comparison finds it with the rest.
  [[nodiscard]] uint32_t unusual() const {
    return 0xffff ^ bits(_mm_cmpgt_epi8(_mm_add_epi8(v_, _mm_set1_epi8(1)), _mm_set1_epi8(0x20)));
  }
  [[nodiscard]] uint32_t not_visible() const {
    return 0xffff ^ bits(_mm_cmpgt_epi8(_mm_add_epi8(v_, _mm_set1_epi8(1)), _mm_set1_epi8(0x21)));
  }
  [[nodiscard]] uint32_t not_name() const {
    const __m128i letter = in_range(_mm_or_si128(v_, _mm_set1_epi8(0x20)), 'a', 'z');
    const __m128i digit = in_range(v_, '0', '9');
    const __m128i dash = _mm_cmpeq_epi8(v_, _mm_set1_epi8('-'));
    return bits(_mm_or_si128(_mm_or_si128(letter, digit), dash)) ^ 0xffff;
  }
  [[nodiscard]] uint32_t equal_folded(const char* text, const char* fold) const {
    const __m128i folded = _mm_or_si128(v_, _mm_load_si128(reinterpret_cast<const __m128i*>(fold)));
    return bits(_mm_cmpeq_epi8(folded, _mm_load_si128(reinterpret_cast<const __m128i*>(text))));
  }

 private:
  explicit Sse2Block(__m128i v) : v_(v) {}
  static uint32_t bits(__m128i v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
  static __m128i in_range(__m128i v, char first, char last) {
    const __m128i offset = _mm_sub_epi8(v, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(offset, _mm_set1_epi8(static_cast<char>(last - first))), offset);
  }
  __m128i v_;
};
using ByteBlock = Sse2Block;
#else
using ByteBlock = PortableBlock;
#endif

/// A block of the `count` < 16 bytes at `at`, with zeros behind; reads no byte more.
template <typename Block = ByteBlock>
inline Block load_few(const char* at, size_t count) {
  char padded[kBlockBytes] = {};
  if (count >= 8) {  // two moves that overlap
    std::memcpy(padded, at, 8);
    std::memcpy(padded + count - 8, at + count - 8, 8);
  } else if (count >= 4) {
    std::memcpy(padded, at, 4);
    std::memcpy(padded + count - 4, at + count - 4, 4);
  } else {
    for (size_t i = 0; i < count; ++i) padded[i] = at[i];
  }
  return Block::load(padded);
}

/// Where in `text`, from offset `at` on, is the first byte whose bit `find(block)` sets? text.size() if
/// nowhere. The last, partial block is read together with bytes before it, so nothing outside `text` is
/// touched.
template <typename Block = ByteBlock, typename Find>
inline size_t find_in_blocks(std::string_view text, size_t at, Find find) {
  const auto last = static_cast<ptrdiff_t>(text.size()) - static_cast<ptrdiff_t>(kBlockBytes);
  auto offset = static_cast<ptrdiff_t>(at);
  for (; offset <= last; offset += kBlockBytes) {
    if (const uint32_t mask = find(Block::load(text.data() + offset)); mask != 0) {
      return static_cast<size_t>(offset) + static_cast<size_t>(std::countr_zero(mask));
    }
  }
  const auto left = static_cast<size_t>(last + static_cast<ptrdiff_t>(kBlockBytes) - offset);  // 0..15
  const uint32_t mask = last >= 0 ? find(Block::load(text.data() + last)) >> (kBlockBytes - left)
                                  : find(load_few<Block>(text.data() + offset, left)) & ((1u << left) - 1);
  return mask != 0 ? static_cast<size_t>(offset) + static_cast<size_t>(std::countr_zero(mask)) : text.size();
}

}  // namespace sluice::http
