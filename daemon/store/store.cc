#include "store/store.h"

namespace sluice::store {

bool is_valid(const Command& command) {
  if (command.key.empty() || command.key.size() > kMaxKeyBytes) return false;
  switch (command.operation) {
    case Operation::touch:
    case Operation::put:
    case Operation::put_if_absent:
    case Operation::replace_if:
    case Operation::add: return command.ttl.count() > 0;
    case Operation::take: return command.rate.units > 0 && command.rate.burst > 0 && command.rate.period.count() > 0;
    case Operation::get:
    case Operation::remove_if:
    case Operation::remove: break;
  }
  return true;
}

}  // namespace sluice::store
