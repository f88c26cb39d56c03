#pragma once

#include <string>

#include "plugins/sdk.hpp"

namespace sluice::request_id {

struct Config {
  explicit Config(Setup& setup);

  std::string header = "X-Request-Id";
  bool to_client = true;
  bool for_upstreams = true;  // not if it is X-Request-Id: that one they get of the gateway itself
  uint32_t made = 0;          // counters
  uint32_t taken_over = 0;
  uint32_t refused = 0;
};

}  // namespace sluice::request_id
