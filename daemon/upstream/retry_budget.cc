#include "upstream/retry_budget.h"

namespace sluice::upstream {

bool RetryBudget::try_spend(MonoTime now) {
  Slot& current = slot(now);
  uint64_t requests = 0;
  uint64_t retries = 0;
  for (const Slot& each : slots_) {
    if (each.second <= current.second - static_cast<int64_t>(slots_.size())) continue;
    requests += each.requests;
    retries += each.retries;
  }
  const double allowed = share_ * static_cast<double>(requests);
  if (retries >= kAlwaysAllowed && static_cast<double>(retries + 1) > allowed) return false;
  ++current.retries;
  return true;
}

}  // namespace sluice::upstream
