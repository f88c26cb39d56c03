#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cors/origins.h"
#include "plugins/sdk.hpp"

namespace sluice::cors {

struct Config {
  explicit Config(Setup& setup);

  Origins origins;
  bool credentials = false;
  // Values of the fields, ready to be sent; empty: the field is left out.
  std::string methods;
  std::string headers;
  std::string expose_headers;
  std::string max_age;
  uint32_t preflight;
  uint32_t denied;
};

}  // namespace sluice::cors
