// The admin pages that are more than a call: the index, the routes, the upstreams. Each is made from the
// snapshot and the figures at the moment it is asked for. Control thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "admin/endpoints.h"
#include "snapshot/snapshot.h"
#include "stats/registry.h"

namespace sluice::admin {

constexpr std::string_view kHtml = "text/html; charset=utf-8";

std::string index_html(std::span<const Endpoint> endpoints, std::string_view version);

std::string routes_json(const snapshot::Snapshot& snapshot, const stats::Registry& registry);
std::string routes_text(const snapshot::Snapshot& snapshot, const stats::Registry& registry);
std::string routes_html(const snapshot::Snapshot& snapshot, const stats::Registry& registry);

/// `now`: for how long ago names were looked up.
std::string upstreams_json(const Sources& sources, MonoTime now);

/// A whole page around `body`, with our style and nothing from elsewhere.
std::string html_page(std::string_view title, std::string_view body);
/// With the header that keeps a page from loading or running anything.
Response html_response(std::string page);
std::string html_escaped(std::string_view text);

}  // namespace sluice::admin
