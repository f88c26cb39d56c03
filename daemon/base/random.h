// Random: a fast, non-cryptographic generator (xoshiro256++, Blackman & Vigna 2019) for load balancing, jitter and ids that
// need be unique but not secret. One per worker; seeded from the kernel.
#pragma once

#include <sys/random.h>

#include <cstdint>

namespace sluice {

class Random {
 public:
  Random() {
    // getrandom() of 32 bytes never returns less once the kernel's pool is initialised; a zero state would be a fixed point.
    if (getrandom(state_, sizeof(state_), 0) != sizeof(state_)) state_[0] = 0x9e3779b97f4a7c15;
    state_[1] |= 1;
  }
  explicit Random(uint64_t seed) : state_{seed, seed ^ 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb} {}

  uint64_t next() {
    const uint64_t result = rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotl(state_[3], 45);
    return result;
  }
  /// 0 .. bound-1, bound > 0; by multiplication (Lemire 2016), bias below 2^-32 for the small bounds used here.
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(((next() >> 32) * bound) >> 32); }

 private:
  static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4] = {};
};

}  // namespace sluice
