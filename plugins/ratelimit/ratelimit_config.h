#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "plugins/sdk.hpp"

namespace sluice::ratelimit {

/// What requests are counted by: each value of it has a rate of its own.
enum class KeyKind : uint8_t { client, header, shared, route, all };

struct Config {
  explicit Config(Setup& setup);

  uint32_t requests = 0;  // ...per...
  std::chrono::milliseconds period{1000};
  uint32_t burst = 0;  // at once; 0 in the configuration: as many as `requests`
  KeyKind key = KeyKind::client;
  std::string key_name;  // of the header, or of what another plugin shared
  std::string prefix;    // of keys in the store
  bool tell_limits = true;
  bool open_on_store_error = true;
  uint32_t store = SLUICE_NONE;

  uint32_t allowed = SLUICE_NONE;  // counters
  uint32_t refused = SLUICE_NONE;
  uint32_t store_errors = SLUICE_NONE;

 private:
  void read_rate(const Setup& setup);
  void read_key(const Setup& setup);
};

}  // namespace sluice::ratelimit
