// Fields that only a plugin may say: whatever a client says under their names must go.
#pragma once

#include <string_view>

#include "common/header_syntax.h"
#include "plugins/sdk.hpp"

namespace sluice {

/// Takes out the fields for whose names `is_own(name)` is true.
template <typename IsOwn>
void strip_fields(const Exchange& exchange, Side side, IsOwn&& is_own) {
  for (size_t i = 0; i < exchange.header_count(side);) {
    const std::string_view name = exchange.header_at(side, i).name;
    if (!is_own(name) || !exchange.remove_header(side, name)) ++i;
  }
}

/// Takes out those of the request that an upstream may read as `own`.
inline void strip_field(const Exchange& exchange, std::string_view own) {
  strip_fields(exchange, Side::request, [own](std::string_view name) { return reads_like(name, own); });
}

}  // namespace sluice
