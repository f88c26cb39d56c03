// Lines for the access log's rings.
#pragma once

#include <cstring>
#include <string_view>

#include "proxy/log_ring.h"

namespace sluice::proxy::test {

/// False if the ring is full.
inline bool push(LogRing& ring, std::string_view line) {
  char* at = ring.reserve(line.size());
  if (at == nullptr) return false;
  std::memcpy(at, line.data(), line.size());
  ring.commit(line.size());
  return true;
}

}  // namespace sluice::proxy::test
