// TextCopier copies a line's texts as they are and notes whether any byte among them would have needed an
// escape, for all of them together: a branch per line instead of one per text. If so, the line is written
// again, with care. Private to the access log. Everything is inlined into the one function that writes a
// line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sluice::proxy {

/// Printable ASCII but for quote and backslash stands for itself in every format.
constexpr bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

#if defined(__SSE2__)

class TextCopier {
 public:
  /// Returns the end of the copy. Touches no byte outside the two texts.
  [[gnu::always_inline]] char* copy(char* out, std::string_view text) {
    const char* in = text.data();
    const size_t size = text.size();
    char* const end = out + size;
    if (size >= 16) {
      const char* const last = in + size - 16;
      for (; in < last; in += 16, out += 16) copy_piece(out, in);
      copy_piece(end - 16, last);  // overlaps the one before
    } else if (size >= 8) {
      const auto front = copy_word<int64_t>(out, in);
      const auto back = copy_word<int64_t>(end - 8, in + size - 8);
      note(_mm_set_epi64x(back, front));
    } else if (size >= 4) {
      const auto front = copy_word<int32_t>(out, in);
      const auto back = copy_word<int32_t>(end - 4, in + size - 4);
      note(_mm_set_epi32(back, front, back, front));
    } else if (size > 0) {
      out[0] = in[0];
      out[size / 2] = in[size / 2];
      end[-1] = in[size - 1];
      note(_mm_set1_epi32(byte_of(in[0]) | byte_of(in[size / 2]) << 8 | byte_of(in[size - 1]) * 0x1010000));
    }
    return end;
  }
  /// True if every byte so far is_plain().
  [[nodiscard]] bool all_plain() const {
    const __m128i low = _mm_cmpeq_epi8(_mm_max_epu8(least_, _mm_set1_epi8(0x20)), least_);
    const __m128i high = _mm_cmpeq_epi8(_mm_min_epu8(most_, _mm_set1_epi8(0x7e)), most_);
    return _mm_movemask_epi8(_mm_andnot_si128(odd_, _mm_and_si128(low, high))) == 0xffff;
  }

 private:
  static uint32_t byte_of(char c) { return static_cast<unsigned char>(c); }
  [[gnu::always_inline]] void note(__m128i bytes) {
    least_ = _mm_min_epu8(least_, bytes);
    most_ = _mm_max_epu8(most_, bytes);
    odd_ = _mm_or_si128(odd_, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    odd_ = _mm_or_si128(odd_, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  }
  [[gnu::always_inline]] void copy_piece(char* out, const char* in) {
    const __m128i piece = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), piece);
    note(piece);
  }
  template <typename Word>
  [[gnu::always_inline]] static Word copy_word(char* out, const char* in) {
    Word word;
    std::memcpy(&word, in, sizeof(word));
    std::memcpy(out, &word, sizeof(word));
    return word;
  }

  __m128i least_ = _mm_set1_epi8(0x20);  // of all bytes so far, in each column
  __m128i most_ = least_;
  __m128i odd_ = _mm_setzero_si128();  // quotes and backslashes
};

#else

class TextCopier {
 public:
  char* copy(char* out, std::string_view text) {
    for (const char c : text) {
      plain_ = plain_ && is_plain(static_cast<unsigned char>(c));
      *out++ = c;
    }
    return out;
  }
  [[nodiscard]] bool all_plain() const { return plain_; }

 private:
  bool plain_ = true;
};

#endif

}  // namespace sluice::proxy
