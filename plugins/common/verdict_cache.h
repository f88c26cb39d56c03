// VerdictCache: what was found of credentials, by a digest of them, for a while. A table of a fixed size in sets of four: a new
// entry takes the place of the one in its set that ends first. The digests are keyed with what nobody knows, so nobody can aim at a
// set. One worker.
#pragma once

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <vector>

#include "common/sha256.h"

namespace sluice {

class VerdictCache {
 public:
  static constexpr size_t kSets = 256;
  static constexpr size_t kWays = 4;
  using Time = std::chrono::microseconds;

  VerdictCache() : sets_(kSets) {}
  void clear() { sets_.assign(kSets, {}); }

  [[nodiscard]] std::optional<uint32_t> find(const Digest& key, Time now) const {
    for (const Entry& entry : set_of(key)) {
      if (entry.until > now && equal_in_constant_time(as_text(entry.key), as_text(key))) return entry.value;
    }
    return std::nullopt;
  }

  void put(const Digest& key, uint32_t value, Time until) {
    auto& set = sets_[index_of(key)];
    Entry* oldest = set.data();
    for (Entry& entry : set) {
      if (entry.until < oldest->until) oldest = &entry;
    }
    *oldest = {key, value, until};
  }

 private:
  struct Entry {
    Digest key{};
    uint32_t value = 0;
    Time until{0};
  };
  using Set = std::array<Entry, kWays>;

  static size_t index_of(const Digest& key) {
    uint64_t bits;
    std::memcpy(&bits, key.data(), sizeof(bits));
    return bits % kSets;
  }
  [[nodiscard]] const Set& set_of(const Digest& key) const { return sets_[index_of(key)]; }

  std::vector<Set> sets_;
};

}  // namespace sluice
