// The page at /stats: the same figures as /metrics for programs that do not speak Prometheus, with quantiles
// worked out:
//   {"sluice_requests_total": {"kind": "counter", "help": "…", "series": [{"labels": {"route": "users"},
//   "value": 3}]}}
// A histogram's series has count, sum, p50, p90, p99, p999 and max in place of value; times are in seconds.
#pragma once

#include <string>

#include "stats/registry.h"

namespace sluice::stats {

std::string json_text(const Registry& registry);

/// {"count": 3, "sum": 0.2, "p50": …, "p90": …, "p99": …, "p999": …, "max": …}, without the braces.
void append_histogram_json(std::string& out, const FamilyRow& row, const HistogramSnapshot& histogram);

}  // namespace sluice::stats
