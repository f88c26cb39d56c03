// TokenCache: tokens that were verified, so that the next request with one costs a look-up. Bounded in bytes; the one that was not used
// for the longest makes room. An entry is over with its time, and at once when its key is withdrawn. One worker.
//
// By the text itself: to look up a digest costs more than all the rest of a request with a token that is known. Its hash has no key,
// for only texts that an issuer signed come in here, and whoever asks for others learns nothing: their hashes differ.
#pragma once

#include <string.h>

#include <list>
#include <string>
#include <unordered_map>

#include "jwt/verifier.h"

namespace sluice::jwt {

class TokenCache {
 public:
  explicit TokenCache(size_t max_bytes) : max_bytes_(max_bytes) {}
  ~TokenCache() {
    while (!entries_.empty()) remove(entries_.begin());
  }
  TokenCache(const TokenCache&) = delete;
  TokenCache& operator=(const TokenCache&) = delete;

  /// Until the next call; nullptr if it is not there.
  [[nodiscard]] const VerifiedToken* find(std::string_view text, Micros now) {
    const auto found = index_.find(text);
    if (found == index_.end()) return nullptr;
    const auto entry = found->second;
    if (now >= entry->until || entry->token.is_orphan()) {
      remove(entry);
      return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, entry);
    return &entry->token;
  }

  /// `text` is not there.
  void put(std::string_view text, VerifiedToken&& token, Micros until) {
    const size_t bytes = kEntryBytes + text.size() + token.heap_bytes();
    if (bytes > max_bytes_) return;
    while (bytes_ + bytes > max_bytes_) remove(std::prev(entries_.end()));
    entries_.push_front({std::string(text), std::move(token), until, bytes});
    index_.emplace(entries_.front().text, entries_.begin());
    bytes_ += bytes;
  }

  void remove(std::string_view text) {
    if (const auto found = index_.find(text); found != index_.end()) remove(found->second);
  }

  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string text;
    VerifiedToken token;
    Micros until;
    size_t bytes;
  };
  using Entries = std::list<Entry>;  // the one used last stands first
  // An entry, its place in the index, and what malloc adds to five blocks.
  static constexpr size_t kEntryBytes = sizeof(Entry) + sizeof(std::string_view) + 8 * sizeof(void*) + 5 * 16;

  // Of a type of its own: with the library's for texts a table of up to 20 entries is searched without a hash.
  struct Hash {
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void remove(Entries::iterator entry) {
    bytes_ -= entry->bytes;
    index_.erase(entry->text);
    explicit_bzero(entry->text.data(), entry->text.size());  // whoever has it, may use it
    entries_.erase(entry);
  }

  const size_t max_bytes_;
  size_t bytes_ = 0;
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator, Hash> index_;
};

}  // namespace sluice::jwt
