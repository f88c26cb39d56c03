// Fields that only a plugin may say: whatever a client says under their names must go.
#pragma once

#include <string_view>

#include "plugins/sdk.hpp"

namespace sluice {

/// Takes out the fields whose names an upstream may read as one that begins with `prefix`.
inline void strip_prefixed(const Exchange& exchange, Side side, std::string_view prefix) {
  for (size_t i = 0; (i = exchange.header_like(side, prefix, i)) != SIZE_MAX;) {
    if (!exchange.remove_header(side, exchange.header_at(side, i).name)) ++i;
  }
}

/// Takes out those of the request that an upstream may read as `own`.
inline void strip_field(const Exchange& exchange, std::string_view own) {
  for (size_t i = 0; (i = exchange.header_like(Side::request, own, i)) != SIZE_MAX;) {
    const std::string_view name = exchange.header_at(Side::request, i).name;
    if (name.size() != own.size() || !exchange.remove_header(Side::request, name)) ++i;
  }
}

}  // namespace sluice
