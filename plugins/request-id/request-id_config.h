#pragma once

#include <string>

#include "plugins/sdk.hpp"

namespace sluice::request_id {

struct Config {
  explicit Config(Setup& setup);

  std::string header = "X-Request-Id";
  bool to_client = true;
};

}  // namespace sluice::request_id
