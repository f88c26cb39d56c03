// The known field names as a perfect hash table, made at compile time from SL_HEADERS: first letter, last
// letter and length name one candidate, and one comparison of 16 bytes (two past that) settles it. Private to
// http/; others call header_id().
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "http/byte_block.h"
#include "http/message.h"

namespace sluice::http::header_names {

inline constexpr size_t kLongest = 24;

struct alignas(64) Row {
  alignas(16) char text[kLongest] = {};  // lower case; a colon behind, so that one comparison tells the length too
  uint32_t length = 0;
  uint32_t mask = 1;  // a bit for each byte of `text` among the first 16
  // 0x20 under each letter: OR-ing it makes a letter lower case, and harms no other byte.
  alignas(16) char fold[kLongest] = {};
};

inline constexpr size_t kRows = static_cast<size_t>(HeaderId::other) + 1;
inline constexpr std::array<std::string_view, kRows> kNames = {
#define SL_ROW(name, text) std::string_view(text),
    SL_HEADERS(SL_ROW)
#undef SL_ROW
        std::string_view(),
};

// Bit 5, which tells upper from lower case, is masked out. XXX: the factor was found by trying; when a new
// row of SL_HEADERS collides, the static_assert below asks for another one.
constexpr uint32_t kSlotMask = 0x1df;
constexpr uint32_t slot_of(char first, char last, uint32_t length) {
  return (static_cast<unsigned char>(first ^ last) ^ (length * 28)) & kSlotMask;
}

constexpr std::array<Row, kRows> make_rows() {
  std::array<Row, kRows> rows{};
  for (size_t id = 0; id < kRows; ++id) {
    if (kNames[id].empty()) continue;  // the row of `other`: what is equal to it is `other`, and so is what is not
    rows[id].length = static_cast<uint32_t>(kNames[id].size());
    rows[id].mask = rows[id].length + 1 >= kBlockBytes ? 0xffff : (2u << rows[id].length) - 1;
    rows[id].text[rows[id].length] = ':';
    for (size_t i = 0; i < kNames[id].size(); ++i) {
      const char c = kNames[id][i];
      rows[id].text[i] = c;
      rows[id].fold[i] = c >= 'a' && c <= 'z' ? 0x20 : 0;
    }
  }
  return rows;
}

constexpr std::array<uint8_t, kSlotMask + 1> make_slots() {
  std::array<uint8_t, kSlotMask + 1> slots{};
  slots.fill(static_cast<uint8_t>(HeaderId::other));
  for (size_t id = 0; id + 1 < kRows; ++id) {
    slots[slot_of(kNames[id].front(), kNames[id].back(), static_cast<uint32_t>(kNames[id].size()))] =
        static_cast<uint8_t>(id);
  }
  return slots;
}

inline constexpr std::array<Row, kRows> kTable = make_rows();
inline constexpr std::array<uint8_t, kSlotMask + 1> kSlots = make_slots();

constexpr bool is_perfect() {
  for (size_t id = 0; id + 1 < kRows; ++id) {
    if (kNames[id].size() >= kLongest) return false;
    if (kSlots[slot_of(kNames[id].front(), kNames[id].back(), static_cast<uint32_t>(kNames[id].size()))] != id)
      return false;
  }
  return true;
}
static_assert(is_perfect(), "two rows of SL_HEADERS share a slot: choose other factors in slot_of()");

/// The id of the name that begins at `at`, is `length` > 0 bytes long and has a colon behind it. `block` is its first 16 bytes.
inline HeaderId find(const char* at, uint32_t length, const ByteBlock& block) {
  const uint8_t id = kSlots[slot_of(at[0], at[length - 1], length)];
  const Row& row = kTable[id];
  if ((~block.equal_folded(row.text, row.fold) & row.mask) != 0) return HeaderId::other;
  if (row.length >= kBlockBytes) {
    if (row.length != length) return HeaderId::other;
    for (size_t i = kBlockBytes; i < length; ++i) {
      if ((at[i] | row.fold[i]) != row.text[i]) return HeaderId::other;
    }
  }
  return static_cast<HeaderId>(id);
}

}  // namespace sluice::http::header_names
