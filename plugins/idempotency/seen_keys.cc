#include "idempotency/seen_keys.h"

#include <map>

namespace sluice::idempotency {

std::shared_ptr<SeenKeys> SeenKeys::of(const std::string& name, uint64_t capacity, double false_positives,
                                       std::chrono::milliseconds ttl) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<SeenKeys>> living;
  const std::lock_guard lock(mutex);
  std::erase_if(living, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<SeenKeys>& place = living[name + ' ' + std::to_string(capacity) + ' ' +
                                          std::to_string(false_positives) + ' ' + std::to_string(ttl.count())];
  std::shared_ptr<SeenKeys> keys = place.lock();
  if (keys == nullptr) {
    keys = std::make_shared<SeenKeys>(capacity, false_positives, ttl);
    place = keys;
  }
  return keys;
}

}  // namespace sluice::idempotency
