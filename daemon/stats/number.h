// How a figure is written for people and programs: decimal, exact, in the unit that the outside sees
// (seconds, not microseconds). Shared by the pages that show figures.
#pragma once

#include <cstdint>
#include <string>

#include "stats/families.h"

namespace sluice::stats {

/// Appends `value` as Registry::value() gives it: a gauge is signed, microseconds become seconds ("0.0025").
void append_number(std::string& out, const FamilyRow& row, uint64_t value);

}  // namespace sluice::stats
