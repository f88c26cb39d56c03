// The access log's fields as rows for the reference page: out of the proxy's table, which control cannot see.
#pragma once

#include "control/documentation.h"
#include "proxy/access_log_format.h"

namespace sluice::cli {

inline constexpr control::LogFieldRow kLogFields[] = {
#define SL_ROW(name, kind, value, help) {#name, help},
    SL_LOG_FIELDS(SL_ROW) SL_LOG_TEMPLATE_FIELDS(SL_ROW)
#undef SL_ROW
};

}  // namespace sluice::cli
