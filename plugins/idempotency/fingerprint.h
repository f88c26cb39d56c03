// Digests of what makes a request: where its key is kept, and whether a repetition is one. Each part is preceded by its length, so
// that no two lists of parts look the same to the digest.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/sha256.h"

namespace sluice::idempotency {

class PartsDigest {
 public:
  explicit PartsDigest(const Sha256& sha256) : sha256_(sha256) { sha256_.begin(); }

  PartsDigest& add(std::string_view part) {
    char length[8];
    for (size_t i = 0; i < sizeof(length); ++i) length[i] = static_cast<char>(uint64_t{part.size()} >> (8 * i));
    sha256_.add({length, sizeof(length)});
    sha256_.add(part);
    return *this;
  }
  [[nodiscard]] Digest finish() const { return sha256_.finish(); }

 private:
  const Sha256& sha256_;
};

}  // namespace sluice::idempotency
