#pragma once

#include <cstdint>

#include "ip-filter/networks.h"
#include "plugins/sdk.hpp"

namespace sluice::ip_filter {

struct Config {
  explicit Config(Setup& setup);

  /// `text`: an address, or another word ("unix"), which no network contains.
  [[nodiscard]] bool allows(std::string_view text) const;

  Networks allow;
  Networks deny;
  bool only_allowed = false;  // an allow list is there
  sluice_fact subject = SLUICE_CLIENT;
  uint32_t allowed;
  uint32_t denied;
};

}  // namespace sluice::ip_filter
