// Bloom filters (Bloom 1970): sets that never forget what was added, in little memory, and may take some few other keys for
// members. Not locked.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace sluice {

/// A key's 128 bits, evenly distributed: the front of a digest.
struct KeyHash {
  uint64_t first;
  uint64_t second;
};

class BloomFilter {
 public:
  /// With `capacity` keys in it, `false_positives` (0..1) of the keys that are not are taken for members.
  BloomFilter(uint64_t capacity, double false_positives);

  void add(const KeyHash& key);
  [[nodiscard]] bool contains(const KeyHash& key) const;
  /// In no time, however large it is: the memory is given back, and taken anew as keys come.
  void clear();

  [[nodiscard]] uint64_t bits() const { return bits_; }
  [[nodiscard]] unsigned hashes() const { return hashes_; }

 private:
  struct Free {
    void operator()(uint64_t* words) const { std::free(words); }
  };
  using Table = std::unique_ptr<uint64_t[], Free>;

  [[nodiscard]] Table make_table() const;
  template <typename Visit>
  bool all_of_bits(const KeyHash& key, Visit&& visit) const;

  uint64_t bits_;
  unsigned hashes_;
  Table words_;
};

/// What was added in the last `ttl`, and some of what was added before that: two generations, of which the younger one takes
/// what is added. After each `ttl` it becomes the older one, so whatever it took is remembered for one ttl at least and two at most.
class RecentKeys {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `capacity`: keys in one ttl; `false_positives` of both generations together, when both are full.
  RecentKeys(uint64_t capacity, double false_positives, std::chrono::milliseconds ttl, Time now);

  /// True if the key was surely not added within the last ttl.
  bool add(const KeyHash& key, Time now);
  [[nodiscard]] bool may_contain(const KeyHash& key, Time now);
  /// It has seen all that came in the last ttl.
  [[nodiscard]] bool complete(Time now) const { return now - made_ >= ttl_; }

 private:
  void age(Time now);

  std::chrono::milliseconds ttl_;
  Time made_;
  Time young_since_;
  BloomFilter young_;
  BloomFilter old_;
};

}  // namespace sluice
