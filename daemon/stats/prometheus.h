// The page at /metrics: Prometheus' text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). Histograms are shown with one bound per
// power of two from 32 µs to 134 s, a quarter of the buckets that are kept, so that a page with many routes
// stays small.
#pragma once

#include <string>
#include <string_view>

#include "stats/registry.h"

namespace sluice::stats {

constexpr std::string_view kPrometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

/// Control thread; takes about a microsecond per line.
std::string prometheus_text(const Registry& registry);

}  // namespace sluice::stats
