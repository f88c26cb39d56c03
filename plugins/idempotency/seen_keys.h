// SeenKeys: which keys this process has seen within the ttl, for all its workers together. A claim fails while the store is away; a
// key that was surely never seen can then be let through all the same, if no other gateway could have seen it (on_store_error:
// open with a filter). It survives reloads that do not change it: Config holds it, and finds the one of its predecessor.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "common/bloom.h"

namespace sluice::idempotency {

class SeenKeys {
 public:
  SeenKeys(uint64_t capacity, double false_positives, std::chrono::milliseconds ttl)
      : keys_(capacity, false_positives, ttl, now()) {}

  /// Any thread. True for one of several that add the same key at once; false for all that come later, and for all as long as
  /// keys of before its time could come again.
  bool is_first(const KeyHash& key) {
    const std::lock_guard lock(mutex_);
    const bool added = keys_.add(key, now());
    return added && keys_.complete(now());
  }

  /// The one with these properties, while somebody holds it.
  static std::shared_ptr<SeenKeys> of(const std::string& name, uint64_t capacity, double false_positives,
                                      std::chrono::milliseconds ttl);

 private:
  static RecentKeys::Time now() { return std::chrono::steady_clock::now(); }

  // Some hundred nanoseconds beside a round trip to the store: not worth atomics whose order would have to be proven.
  std::mutex mutex_;
  RecentKeys keys_;
};

}  // namespace sluice::idempotency
