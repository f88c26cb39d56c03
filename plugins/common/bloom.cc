#include "common/bloom.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

namespace sluice {

namespace {

__extension__ using Wide = unsigned __int128;

uint64_t bits_for(uint64_t capacity, double false_positives) {
  const double ln2 = std::log(2.0);
  return static_cast<uint64_t>(std::ceil(-static_cast<double>(capacity) * std::log(false_positives) / (ln2 * ln2)));
}

}  // namespace

BloomFilter::BloomFilter(uint64_t capacity, double false_positives)
    : bits_(std::max<uint64_t>(bits_for(capacity, false_positives), 64)),
      hashes_(static_cast<unsigned>(std::clamp(
          std::round(static_cast<double>(bits_) / static_cast<double>(capacity) * std::log(2.0)), 1.0, 32.0))),
      words_(make_table()) {}

// Double hashing (Kirsch and Mitzenmacher 2006): the sequence a + i·b does as well as independent functions. A product with
// `bits_` maps each evenly, with no division.
template <typename Visit>
bool BloomFilter::all_of_bits(const KeyHash& key, Visit&& visit) const {
  uint64_t hash = key.first;
  for (unsigned i = 0; i < hashes_; ++i, hash += key.second | 1) {
    const auto bit = static_cast<uint64_t>((static_cast<Wide>(hash) * bits_) >> 64);
    if (!visit(bit / 64, uint64_t{1} << (bit % 64))) return false;
  }
  return true;
}

void BloomFilter::add(const KeyHash& key) {
  all_of_bits(key, [this](size_t word, uint64_t bit) {
    words_[word] |= bit;
    return true;
  });
}

bool BloomFilter::contains(const KeyHash& key) const {
  return all_of_bits(key, [this](size_t word, uint64_t bit) { return (words_[word] & bit) != 0; });
}

void BloomFilter::clear() {
  words_.reset();  // first: there are never two
  words_ = make_table();
}

// calloc: pages of a large table that are never used are never there.
BloomFilter::Table BloomFilter::make_table() const {
  auto* words = static_cast<uint64_t*>(std::calloc((bits_ + 63) / 64, sizeof(uint64_t)));
  if (words == nullptr) throw std::bad_alloc();
  return Table(words);
}

// --- generations ---

// A key that neither holds is taken for a member if either takes it for one.
RecentKeys::RecentKeys(uint64_t capacity, double false_positives, std::chrono::milliseconds ttl, Time now)
    : ttl_(ttl),
      made_(now),
      young_since_(now),
      young_(capacity, 1 - std::sqrt(1 - false_positives)),
      old_(capacity, 1 - std::sqrt(1 - false_positives)) {}

bool RecentKeys::add(const KeyHash& key, Time now) {
  const bool known = may_contain(key, now);
  young_.add(key);
  return !known;
}

bool RecentKeys::may_contain(const KeyHash& key, Time now) {
  age(now);
  return young_.contains(key) || old_.contains(key);
}

void RecentKeys::age(Time now) {
  if (now - young_since_ < ttl_) return;
  const bool both_are_old = now - young_since_ >= 2 * ttl_;
  std::swap(young_, old_);
  young_.clear();
  if (both_are_old) old_.clear();
  young_since_ = both_are_old ? now : young_since_ + ttl_;
}

}  // namespace sluice
