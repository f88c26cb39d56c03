#include "base/reason.h"

namespace sluice {

namespace {
constexpr ReasonRow kRows[] = {
#define SL_ROW(name, status, side, retry, text) {#name, status, Side::side, RetryHint::retry, text},
    SL_REASONS(SL_ROW)
#undef SL_ROW
};
}  // namespace

const ReasonRow& row(Reason reason) { return kRows[static_cast<size_t>(reason)]; }

std::string_view name(Side side) {
  constexpr std::string_view kNames[] = {"none", "downstream", "upstream", "internal", "config"};
  return kNames[static_cast<size_t>(side)];
}

}  // namespace sluice
