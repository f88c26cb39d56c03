// TokenCache: tokens that were verified, by a digest of them, so that the next request with one costs a look-up. Bounded in bytes; the one
// that was not used for the longest makes room. An entry is over with its time, and at once when its key is withdrawn. One worker.
#pragma once

#include <cstring>
#include <list>
#include <unordered_map>

#include "common/sha256.h"
#include "jwt/verifier.h"

namespace sluice::jwt {

class TokenCache {
 public:
  explicit TokenCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  /// Until the next call; nullptr if it is not there.
  [[nodiscard]] const VerifiedToken* find(const Digest& digest, Micros now) {
    const auto found = index_.find(digest);
    if (found == index_.end()) return nullptr;
    const auto entry = found->second;
    if (now >= entry->until || entry->token.is_orphan()) {
      remove(entry);
      return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, entry);
    return &entry->token;
  }

  /// `digest` is not there.
  void put(const Digest& digest, VerifiedToken&& token, Micros until) {
    const size_t bytes = kEntryBytes + token.heap_bytes();
    if (bytes > max_bytes_) return;
    while (bytes_ + bytes > max_bytes_) remove(std::prev(entries_.end()));
    entries_.push_front({digest, std::move(token), until, bytes});
    index_.emplace(digest, entries_.begin());
    bytes_ += bytes;
  }

  void remove(const Digest& digest) {
    if (const auto found = index_.find(digest); found != index_.end()) remove(found->second);
  }

  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    Digest digest;
    VerifiedToken token;
    Micros until;
    size_t bytes;
  };
  using Entries = std::list<Entry>;  // the one used last stands first
  struct Spread {
    size_t operator()(const Digest& digest) const {
      size_t value;
      std::memcpy(&value, digest.data(), sizeof(value));
      return value;
    }
  };
  // An entry, its place in the index, and what malloc adds to four blocks.
  static constexpr size_t kEntryBytes = sizeof(Entry) + sizeof(Digest) + 8 * sizeof(void*) + 4 * 16;

  void remove(Entries::iterator entry) {
    bytes_ -= entry->bytes;
    index_.erase(entry->digest);
    entries_.erase(entry);
  }

  const size_t max_bytes_;
  size_t bytes_ = 0;
  Entries entries_;
  std::unordered_map<Digest, Entries::iterator, Spread> index_;
};

}  // namespace sluice::jwt
