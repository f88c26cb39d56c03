// RedisOptions: what a RedisStore is told about its server or servers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"

namespace sluice::store {

struct RedisOptions {
  enum class Mode : uint8_t {
    single,    // the first address
    sentinel,  // the addresses are sentinels, which know where `master_name` is
    cluster,   // the addresses are some of its nodes
  };
  std::string name;  // for the log
  Mode mode = Mode::single;
  std::vector<SocketAddress> addresses;
  std::string master_name;
  uint32_t db = 0;       // not for a cluster
  std::string username;  // empty: "default"
  std::string password;  // empty: none
  std::string sentinel_username;
  std::string sentinel_password;
  uint32_t connections = 2;  // to each server
  Millis timeout{50};        // from submit() to the outcome

  // Beyond these, operations fail with store_full.
  size_t max_in_flight = 16'384;
  size_t max_queued_bytes = size_t{64} << 20;  // of one connection; a command longer than this passes if it is alone

  friend bool operator==(const RedisOptions&, const RedisOptions&) = default;
};

}  // namespace sluice::store
