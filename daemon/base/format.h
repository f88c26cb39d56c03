// fmt, for every floor: messages to people are formatted with it. Third-party headers are included from one folder each.
#pragma once

#include <fmt/format.h>  // IWYU pragma: export
