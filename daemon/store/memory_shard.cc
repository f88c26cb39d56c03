#include "store/memory_shard.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <new>
#include <optional>

#include "base/assert.h"
#include "store/gcra.h"

namespace sluice::store {

namespace {

constexpr size_t kBytesPerBucket =
    256;  // of the limit: the table is 3 % of it, and chains are short unless entries are tiny
constexpr size_t kMinBuckets = 16;
constexpr size_t kMallocBytes = 8;
constexpr size_t kSweptPerOperation = 4;  // more than an operation can add
constexpr Millis kLongestTtl{int64_t{10} * 365 * 86'400'000};
constexpr size_t kDigits = 20;  // of an int64_t, with its sign

// Deadlines are filed by ticks of 2^20 µs.
uint64_t tick_of(MonoTime time) { return static_cast<uint64_t>(time.time_since_epoch().count()) >> 20; }

// An operation without a ttl has one that nobody looks at.
MonoTime deadline_of(const Command& command, MonoTime now) {
  return now + std::clamp(command.ttl, Millis(0), kLongestTtl);
}

std::optional<int64_t> number_in(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

void MemoryFigures::add(const MemoryFigures& other) {
  for (size_t i = 0; i < kOperations; ++i) operations[i] += other.operations[i];
  hits += other.hits;
  misses += other.misses;
  full += other.full;
  refused += other.refused;
  evictions += other.evictions;
  expirations += other.expirations;
  entries += other.entries;
  bytes += other.bytes;
}

MemoryShard::MemoryShard(size_t limit_bytes, bool evicts)
    : limit_(limit_bytes), evicts_(evicts), buckets_(buckets_for(limit_bytes)), table_(make_table(buckets_)) {
  used_ = sizeof(*this) + buckets_ * sizeof(Entry*);
  SL_ASSERT(used_ < limit_);
}

MemoryShard::~MemoryShard() { evict_until(0); }

size_t MemoryShard::buckets_for(size_t limit_bytes) {
  return std::max(kMinBuckets, std::bit_floor(limit_bytes / kBytesPerBucket));
}

// calloc: pages of a large table that are never used are never there.
MemoryShard::Table MemoryShard::make_table(size_t buckets) {
  auto* memory = static_cast<Entry**>(std::calloc(buckets, sizeof(Entry*)));
  SL_ASSERT(memory != nullptr);
  return Table(memory);
}

// glibc's malloc: 8 bytes more than asked for, in steps of 16. All of that is asked for, so that put() may use it.
size_t MemoryShard::charge_of(size_t key_size, size_t value_size) {
  return (sizeof(Entry) + key_size + value_size + kMallocBytes + 15) / 16 * 16;
}

// The pointer that points to the entry of that key, or that would.
MemoryShard::Entry** MemoryShard::link_to(std::string_view key, uint32_t hash) {
  Entry** link = &table_[hash & (buckets_ - 1)];
  while (*link != nullptr && ((*link)->hash != hash || (*link)->key() != key)) link = &(*link)->next;
  return link;
}

MemoryShard::Entry* MemoryShard::find(std::string_view key, uint32_t hash, MonoTime now) {
  Entry* entry = *link_to(key, hash);
  if (entry == nullptr) return nullptr;
  if (entry->deadline <= now) {
    ++figures_.expirations;
    remove(*entry);
    return nullptr;
  }
  entry->ListNode<UseTag>::unlink();
  by_use_.push_front(*entry);
  return entry;
}

Outcome MemoryShard::carry_out(const Command& command, uint32_t hash, MonoTime now, std::string& found) {
  ++figures_.operations[static_cast<size_t>(command.operation)];
  sweep(now, kSweptPerOperation);
  if (!is_valid(command)) return fail(Reason::store_refused);
  return carry_out_on(find(command.key, hash, now), command, hash, now, found);
}

Outcome MemoryShard::carry_out_on(Entry* entry, const Command& command, uint32_t hash, MonoTime now,
                                  std::string& found) {
  const MonoTime deadline = deadline_of(command, now);
  const Outcome absent{.kind = Outcome::Kind::absent};
  const auto found_entry = [&] {
    found.assign(entry->value());
    return Outcome{.kind = Outcome::Kind::found, .value = found};
  };
  const auto is_expected = [&] { return entry->value().starts_with(command.expected); };
  switch (command.operation) {
    case Operation::get:
    case Operation::touch:
      ++(entry != nullptr ? figures_.hits : figures_.misses);
      if (entry == nullptr) return absent;
      if (command.operation == Operation::touch) move_deadline(*entry, deadline);
      return found_entry();
    case Operation::put_if_absent:
      if (entry != nullptr) return found_entry();
      [[fallthrough]];
    case Operation::put: return put(entry, command, hash, command.value, deadline);
    case Operation::replace_if:
      if (entry == nullptr) return absent;
      if (!is_expected()) return found_entry();
      return put(entry, command, hash, command.value, deadline);
    case Operation::remove_if:
      if (entry != nullptr && !is_expected()) return found_entry();
      [[fallthrough]];
    case Operation::remove:
      if (entry == nullptr) return absent;
      remove(*entry);
      return {.kind = Outcome::Kind::done};
    case Operation::take: return take(entry, command, hash, now);
    case Operation::add: return add(entry, command, hash, now);
  }
  return fail(Reason::store_refused);
}

// `entry` is the one of that key, or nullptr. What fails changes nothing.
Outcome MemoryShard::put(Entry* entry, const Command& command, uint32_t hash, std::string_view value,
                         MonoTime deadline) {
  const size_t charge = charge_of(command.key.size(), value.size());
  const size_t fixed = sizeof(*this) + buckets_ * sizeof(Entry*);
  if (value.size() > kMaxValueBytes || charge > limit_ - fixed) return fail(Reason::store_full);
  if (entry != nullptr && entry->charge() == charge) {
    std::memcpy(entry->bytes() + entry->key_size, value.data(), value.size());
    entry->value_size = static_cast<uint32_t>(value.size());
    move_deadline(*entry, deadline);
    return {.kind = Outcome::Kind::done};
  }
  const size_t freed = entry == nullptr ? 0 : entry->charge();
  if (!evicts_ && used_ - freed + charge > limit_) return fail(Reason::store_full);
  if (entry != nullptr) remove(*entry);
  evict_until(limit_ - charge);
  entry = new (::operator new(charge - kMallocBytes)) Entry;
  entry->deadline = deadline;
  entry->hash = hash;
  entry->key_size = static_cast<uint16_t>(command.key.size());
  entry->value_size = static_cast<uint32_t>(value.size());
  std::copy(command.key.begin(), command.key.end(), entry->bytes());
  std::copy(value.begin(), value.end(), entry->bytes() + command.key.size());
  Entry*& bucket = table_[hash & (buckets_ - 1)];
  entry->next = bucket;
  bucket = entry;
  by_use_.push_front(*entry);
  file(*entry);
  used_ += charge;
  ++figures_.entries;
  return {.kind = Outcome::Kind::done};
}

Outcome MemoryShard::add(Entry* entry, const Command& command, uint32_t hash, MonoTime now) {
  const std::optional<int64_t> before = entry == nullptr ? 0 : number_in(entry->value());
  int64_t sum = 0;
  if (!before || __builtin_add_overflow(*before, command.amount, &sum)) return fail(Reason::store_refused);
  char digits[kDigits];
  const char* end = std::to_chars(digits, digits + kDigits, sum).ptr;
  const MonoTime deadline = entry == nullptr ? deadline_of(command, now) : entry->deadline;
  Outcome outcome = put(entry, command, hash, {digits, static_cast<size_t>(end - digits)}, deadline);
  outcome.sum = sum;
  return outcome;
}

// What is kept is the theoretical arrival time, in nanoseconds, as a decimal number.
Outcome MemoryShard::take(Entry* entry, const Command& command, uint32_t hash, MonoTime now) {
  const std::optional<int64_t> arrival = entry == nullptr ? 0 : number_in(entry->value());
  if (!arrival) return fail(Reason::store_refused);
  const GcraStep step = gcra_take(command.rate, *arrival, now.time_since_epoch().count() * 1000);
  Outcome outcome{.kind = Outcome::Kind::refused};
  if (step.allowed) {
    char digits[kDigits];
    const char* end = std::to_chars(digits, digits + kDigits, step.arrival).ptr;
    outcome = put(entry, command, hash, {digits, static_cast<size_t>(end - digits)}, now + step.reset_after);
    if (outcome.kind == Outcome::Kind::failed) return outcome;
  }
  outcome.remaining = step.remaining;
  outcome.retry_after = step.retry_after;
  outcome.reset_after = step.reset_after;
  return outcome;
}

// Later: the wheel finds the entry too early and files it again.
void MemoryShard::move_deadline(Entry& entry, MonoTime deadline) {
  const bool is_earlier = deadline < entry.deadline;
  entry.deadline = deadline;
  if (!is_earlier) return;
  entry.ListNode<DeadlineTag>::unlink();
  file(entry);
}

// In the slot of the first tick at which the entry is surely due; past the horizon (76 hours), in the last one.
void MemoryShard::file(Entry& entry) {
  constexpr uint64_t kHorizon = uint64_t{1} << (kBits * kLevels);
  const uint64_t ahead = std::max(tick_of(entry.deadline) + 1, next_tick_) - next_tick_;
  const uint64_t tick = next_tick_ + std::min(ahead, kHorizon - 1);
  unsigned level = 0;
  while ((tick - next_tick_) >> (kBits * (level + 1)) != 0) ++level;
  wheel_[level][(tick >> (kBits * level)) % kSlots].push_back(entry);
}

bool MemoryShard::sweep(MonoTime now, size_t budget) {
  const uint64_t last = tick_of(now);
  if (figures_.entries == 0) next_tick_ = std::max(next_tick_, last + 1);
  for (; next_tick_ <= last; ++next_tick_) {
    for (unsigned level = kLevels; level-- > 0;) {
      if (next_tick_ % (uint64_t{1} << (kBits * level)) != 0) continue;
      DeadlineList& slot = wheel_[level][(next_tick_ >> (kBits * level)) % kSlots];
      while (!slot.empty()) {
        if (budget-- == 0) return true;
        Entry& entry = slot.front();
        if (entry.deadline <= now) {
          ++figures_.expirations;
          remove(entry);
        } else {
          entry.ListNode<DeadlineTag>::unlink();
          file(entry);
        }
      }
    }
    if (budget-- == 0) return true;
  }
  return false;
}

void MemoryShard::remove(Entry& entry) {
  Entry** link = &table_[entry.hash & (buckets_ - 1)];
  while (*link != &entry) link = &(*link)->next;
  *link = entry.next;
  used_ -= entry.charge();
  --figures_.entries;
  entry.~Entry();
  ::operator delete(&entry);
}

void MemoryShard::evict_until(size_t bytes_used) {
  while (used_ > bytes_used && !by_use_.empty()) {
    ++figures_.evictions;
    remove(by_use_.back());
  }
}

void MemoryShard::set_limit(size_t limit_bytes) {
  limit_ = limit_bytes;
  const size_t buckets = buckets_for(limit_bytes);
  const size_t added = buckets * sizeof(Entry*);
  const size_t dropped = buckets_ * sizeof(Entry*);
  // A larger table that finds no room is at most twice as large, unless the limit was lowered before: the chains are that much longer.
  const bool has_room = evicts_ || buckets < buckets_ || used_ + added <= limit_;
  if (buckets != buckets_ && has_room) {
    // Two tables for a moment: a larger limit holds even then, a smaller one from the end of this function on.
    if (evicts_) evict_until(limit_ - added + (buckets < buckets_ ? dropped : 0));
    Table table = make_table(buckets);
    for (Entry& entry : by_use_) {
      Entry*& bucket = table[entry.hash & (buckets - 1)];
      entry.next = bucket;
      bucket = &entry;
    }
    used_ = used_ + added - dropped;
    table_ = std::move(table);
    buckets_ = buckets;
  }
  if (evicts_) evict_until(limit_);
}

void MemoryShard::set_evicts(bool evicts) {
  evicts_ = evicts;
  set_limit(limit_);
}

MemoryFigures MemoryShard::figures() const {
  MemoryFigures figures = figures_;
  figures.bytes = used_;
  return figures;
}

Outcome MemoryShard::fail(Reason reason) {
  ++(reason == Reason::store_full ? figures_.full : figures_.refused);
  return {.kind = Outcome::Kind::failed, .reason = reason};
}

}  // namespace sluice::store
