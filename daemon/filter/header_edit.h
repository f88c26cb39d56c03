// Changes of a head's fields by plugins. Fields are views, so a change makes new ones in the exchange's arena, each a whole
// line as on the wire, as proxy/head_composer expects it.
#pragma once

#include <string_view>

#include "base/arena.h"
#include "http/message.h"

namespace sluice::filter {

/// False for fields that frame messages, belong to one connection, or are made by the gateway from what it knows (Host).
bool is_editable(std::string_view name);

// Each returns false, and changes nothing, if the name is not editable or either text is malformed.
bool set_header(http::HeaderMap& headers, Arena& arena, std::string_view name, std::string_view value);
bool add_header(http::HeaderMap& headers, Arena& arena, std::string_view name, std::string_view value);
bool remove_header(http::HeaderMap& headers, std::string_view name);

}  // namespace sluice::filter
