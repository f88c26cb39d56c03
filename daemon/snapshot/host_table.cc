#include "snapshot/host_table.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.h"

namespace sluice::snapshot {
namespace {

// Mixes eight bytes at a time. Clients cannot fill the table, so nothing stronger is needed.
uint64_t hash_of(std::string_view text) {
  constexpr uint64_t kOdd = 0x9e37'79b9'7f4a'7c15;
  uint64_t hash = text.size() * kOdd;
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kOdd;
    hash ^= hash >> 29;
  };
  while (text.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    mix(word);
    text.remove_prefix(8);
  }
  uint64_t word = 0;
  for (const char c : text) word = (word << 8) | static_cast<unsigned char>(c);
  mix(word);
  return hash ^ (hash >> 32);
}

}  // namespace

std::string canonical_host(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string text(host);
  std::transform(text.begin(), text.end(), text.begin(), to_lower);
  return text;
}

std::string_view HostTable::key_of(const Host& host) {
  const std::string_view text = host.text;
  return text.starts_with("*.") ? text.substr(1) : text;
}

void HostTable::build(std::vector<Host> hosts) {
  hosts_ = std::move(hosts);
  size_t capacity = 4;
  while (capacity < hosts_.size() * 2) capacity *= 2;
  slots_.assign(capacity, Slot());
  any_ = kNone;
  has_wildcards_ = false;
  for (uint32_t i = 0; i < hosts_.size(); ++i) {
    if (hosts_[i].text.empty()) {
      any_ = i;
    } else {
      insert(i);
      has_wildcards_ = has_wildcards_ || hosts_[i].text.starts_with("*.");
    }
  }
  for (Host& host : hosts_) {
    if (!host.text.empty()) host.next = longest_wildcard(key_of(host));
  }
}

void HostTable::insert(uint32_t index) {
  const uint64_t hash = hash_of(key_of(hosts_[index]));
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].host != kNone) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {static_cast<uint32_t>(hash >> 32), index};
}

uint32_t HostTable::probe(std::string_view key) const {
  const uint64_t hash = hash_of(key);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t at = hash & (slots_.size() - 1); slots_[at].host != kNone; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].tag == tag && key_of(hosts_[slots_[at].host]) == key) return slots_[at].host;
  }
  return kNone;
}

uint32_t HostTable::longest_wildcard(std::string_view host) const {
  if (has_wildcards_) {
    for (size_t dot = host.find('.', 1); dot != std::string_view::npos; dot = host.find('.', dot + 1)) {
      const uint32_t found = probe(host.substr(dot));
      if (found != kNone) return found;
    }
  }
  return any_;
}

uint32_t HostTable::find(std::string_view host) const {
  if (host.ends_with('.')) host.remove_suffix(1);
  // A leading dot would look like a wildcard's key; no name begins with one.
  const bool only_any = hosts_.size() == (any_ == kNone ? 0 : 1);
  if (only_any || host.empty() || host[0] == '.' || host.size() > kMaxHostBytes) return any_;
  std::array<char, kMaxHostBytes> lower;
  std::transform(host.begin(), host.end(), lower.begin(), to_lower);
  const std::string_view name(lower.data(), host.size());
  const uint32_t exact = probe(name);
  return exact != kNone ? exact : longest_wildcard(name);
}

size_t HostTable::memory_bytes() const {
  size_t bytes = hosts_.capacity() * sizeof(Host) + slots_.capacity() * sizeof(Slot);
  for (const Host& host : hosts_) bytes += host.text.capacity();
  return bytes;
}

}  // namespace sluice::snapshot
