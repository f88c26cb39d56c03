// SipHash (Aumasson and Bernstein 2012): a hash with a secret key. Whoever chooses the keys of a table can make them all
// collide under any hash that he can compute, or whose seed he can get rid of by differences, as with most fast seeded ones;
// under this one he cannot, and that is what it was made for. SipHash-1-3 is what the tables of Rust and Python use.
#pragma once

#include <sys/random.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/assert.h"

namespace sluice::store {

using HashKey = std::array<uint64_t, 2>;

inline HashKey random_hash_key() {
  HashKey key;
  // So few bytes never come in part.
  SL_ASSERT(getrandom(key.data(), sizeof key, 0) == sizeof key);
  return key;
}

template <int kPerBlock, int kAtEnd>
uint64_t siphash(const HashKey& key, std::string_view bytes) {
  uint64_t a = key[0] ^ 0x736f6d6570736575, b = key[1] ^ 0x646f72616e646f6d;
  uint64_t c = key[0] ^ 0x6c7967656e657261, d = key[1] ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (; count > 0; --count) {
      a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
      c += d, d = std::rotl(d, 16) ^ c;
      a += d, d = std::rotl(d, 21) ^ a;
      c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
    }
  };
  const auto take = [&](uint64_t block) {
    d ^= block;
    rounds(kPerBlock);
    a ^= block;
  };
  static_assert(std::endian::native == std::endian::little, "blocks are little-endian");
  const uint64_t length = bytes.size();
  for (; bytes.size() >= sizeof(uint64_t); bytes.remove_prefix(sizeof(uint64_t))) {
    uint64_t block;
    std::memcpy(&block, bytes.data(), sizeof block);
    take(block);
  }
  uint64_t last = 0;
  if (!bytes.empty()) std::memcpy(&last, bytes.data(), bytes.size());
  take(last | length << 56);
  c ^= 0xff;
  rounds(kAtEnd);
  return a ^ b ^ c ^ d;
}

inline uint64_t siphash13(const HashKey& key, std::string_view bytes) { return siphash<1, 3>(key, bytes); }

}  // namespace sluice::store
