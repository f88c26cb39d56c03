#include "proxy/access_log_text.h"

#include <array>
#include <cstring>
#include <ctime>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/strings.h"

namespace sluice::proxy {

namespace {

// Printable ASCII but for quote and backslash stands for itself in every format.
constexpr bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#if defined(__SSE2__)

// A bit for each of the 16 bytes that is not plain. Signed comparison finds bytes past 0x7f together with controls.
unsigned odd_bytes(__m128i bytes) {
  const __m128i control = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
  const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(control, del), _mm_or_si128(quote, backslash))));
}

template <typename Word>
Word load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// Fewer than 16 bytes: two overlapping loads that together see each of them, joined for one look.
bool copy_short(char* out, const char* in, size_t size) {
  if (size >= 8) {
    const auto first = load<int64_t>(in);
    const auto last = load<int64_t>(in + size - 8);
    std::memcpy(out, &first, 8);
    std::memcpy(out + size - 8, &last, 8);
    return odd_bytes(_mm_set_epi64x(last, first)) == 0;
  }
  if (size >= 4) {
    const auto first = load<uint32_t>(in);
    const auto last = load<uint32_t>(in + size - 4);
    std::memcpy(out, &first, 4);
    std::memcpy(out + size - 4, &last, 4);
    const auto both = static_cast<int64_t>(first | (uint64_t{last} << 32));
    return (odd_bytes(_mm_cvtsi64_si128(both)) & 0xff) == 0;
  }
  bool plain = true;
  for (size_t i = 0; i < size; ++i) {
    out[i] = in[i];
    plain &= is_plain(static_cast<unsigned char>(in[i]));
  }
  return plain;
}

// Copies text and returns how much of its front is known to be plain: all of it, or less if a piece of it is not.
size_t copy_plain(char* out, std::string_view text) {
  const char* in = text.data();
  const size_t size = text.size();
  if (size < 16) return copy_short(out, in, size) ? size : 0;
  const auto copy_piece = [&](size_t at) {
    const __m128i piece = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + at));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + at), piece);
    return odd_bytes(piece) == 0;
  };
  size_t at = 0;
  for (; at + 16 <= size; at += 16) {
    if (!copy_piece(at)) return at;
  }
  if (at < size && !copy_piece(size - 16)) return at;  // the last piece overlaps what was plain already
  return size;
}

#else

size_t copy_plain(char* out, std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (!is_plain(static_cast<unsigned char>(text[i]))) return i;
    out[i] = text[i];
  }
  return text.size();
}

#endif

// "00" to "99"
constexpr auto kPairs = [] {
  std::array<char, 200> pairs{};
  for (size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}();

void write_pair(char* out, uint64_t value) {
  std::memcpy(out, &kPairs[2 * value], 2);
}

}  // namespace

char* write_json_text(char* out, std::string_view text, std::string& scratch) {
  const size_t plain = copy_plain(out, text);
  if (plain == text.size()) [[likely]] return out + plain;
  scratch.clear();
  append_json_escaped(scratch, text.substr(plain));
  std::memcpy(out + plain, scratch.data(), scratch.size());
  return out + plain + scratch.size();
}

char* write_plain_text(char* out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  const size_t plain = copy_plain(out, text);
  out += plain;
  for (const char c : text.substr(plain)) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(byte)) {
      *out++ = c;
    } else {
      const char escape[4] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      std::memcpy(out, escape, 4);
      out += 4;
    }
  }
  return out;
}

char* write_number(char* out, uint64_t value) {
  // Most numbers of a line have one to four digits.
  if (value < 10) {
    *out = static_cast<char>('0' + value);
    return out + 1;
  }
  char digits[kMaxNumberBytes];
  char* at = digits + kMaxNumberBytes;
  while (value >= 100) {
    at -= 2;
    write_pair(at, value % 100);
    value /= 100;
  }
  if (value >= 10) {
    at -= 2;
    write_pair(at, value);
  } else {
    *--at = static_cast<char>('0' + value);
  }
  const auto length = static_cast<size_t>(digits + kMaxNumberBytes - at);
  std::memcpy(out, at, length);
  return out + length;
}

char* LogTime::write_rfc3339(char* out, Micros wall) {
  const int64_t second = wall.count() / 1'000'000;
  if (second != second_) [[unlikely]] update(second);
  const auto millis = static_cast<uint64_t>(wall.count() % 1'000'000) / 1000;
  std::memcpy(out, rfc3339_, 20);
  out[20] = static_cast<char>('0' + millis / 100);
  write_pair(out + 21, millis % 100);
  out[23] = 'Z';
  return out + kRfc3339Bytes;
}

char* LogTime::write_clf(char* out, Micros wall) {
  const int64_t second = wall.count() / 1'000'000;
  if (second != second_) [[unlikely]] update(second);
  std::memcpy(out, clf_, kClfBytes);
  return out + kClfBytes;
}

void LogTime::update(int64_t second) {
  const time_t time = second;
  tm parts{};
  gmtime_r(&time, &parts);
  strftime(rfc3339_, sizeof(rfc3339_), "%Y-%m-%dT%H:%M:%S.", &parts);
  strftime(clf_, sizeof(clf_), "%d/%b/%Y:%H:%M:%S +0000", &parts);  // no setlocale() here: names stay English
  second_ = second;
}

}  // namespace sluice::proxy
