// RedisOptions: what a RedisStore is told about its server or servers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "store/store_health.h"
#include "tls/client_context.h"

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
  uint32_t connections = 2;                       // to each server
  Millis timeout{50};                             // from submit() to the outcome
  std::shared_ptr<const tls::ClientContext> tls;  // to every server and sentinel; nullptr: none
  std::string tls_server_name;                    // which their certificates must have; empty: the address of each
  std::shared_ptr<StoreHealth> health;            // shared with the other workers; nullptr: nobody else wants to know

  // Beyond these, operations fail with store_full.
  size_t max_in_flight = 16'384;
  size_t max_queued_bytes = size_t{64} << 20;  // of one connection; a command longer than this passes if it is alone
};

}  // namespace sluice::store
