#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "plugins/sdk.hpp"

namespace sluice::fault {

struct Config {
  explicit Config(Setup& setup);

  double delay_share = 0;  // 0..1 of the requests
  std::chrono::milliseconds delay{0};
  std::chrono::milliseconds jitter{0};  // at most this much more
  double abort_share = 0;
  uint32_t status = 503;
  std::string only_with_header;  // empty: all requests
  uint32_t delayed;
  uint32_t aborted;
};

}  // namespace sluice::fault
