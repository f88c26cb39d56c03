#include "stats/families.h"

namespace sluice::stats {

namespace {

#define SL_ROW(name, text) text,
constexpr std::string_view kClasses[] = {SL_STATUS_CLASSES(SL_ROW)};
constexpr std::string_view kStates[] = {SL_CONNECTION_STATES(SL_ROW)};
constexpr std::string_view kSlices[] = {SL_SLICES(SL_ROW)};
constexpr std::string_view kTlsSessions[] = {SL_TLS_SESSIONS(SL_ROW)};
constexpr std::string_view kEarlyData[] = {SL_EARLY_DATA(SL_ROW)};
constexpr std::string_view kRetryKinds[] = {SL_RETRY_KINDS(SL_ROW)};
constexpr std::string_view kPluginPhases[] = {SL_PLUGIN_PHASES(SL_ROW)};
constexpr std::string_view kOperations[] = {SL_STORE_OPERATIONS(SL_ROW)};
#undef SL_ROW
#define SL_ROW(name, ...) #name,
constexpr std::string_view kReasons[] = {SL_REASONS(SL_ROW)};
#undef SL_ROW

constexpr std::span<const std::string_view> values_of(std::string_view label) {
  if (label == "reason") return kReasons;
  if (label == "class") return kClasses;
  if (label == "state") return kStates;
  if (label == "slice") return kSlices;
  if (label == "session") return kTlsSessions;
  if (label == "result") return kEarlyData;
  if (label == "kind") return kRetryKinds;
  if (label == "phase") return kPluginPhases;
  if (label == "operation") return kOperations;
  return {};
}

constexpr FamilyRow make_row(Kind kind, Unit unit, std::string_view name, std::string_view labels,
                             std::string_view help) {
  FamilyRow made{kind, unit, name, {}, 0, {}, help};
  while (!labels.empty()) {
    const size_t space = labels.find(' ');
    made.last_values = values_of(labels.substr(0, space));
    made.labels[made.label_count++] = labels.substr(0, space);
    labels = space == std::string_view::npos ? std::string_view() : labels.substr(space + 1);
  }
  return made;
}

constexpr FamilyRow kRows[] = {
#define SL_ROW(enumerator, kind, unit, name, labels, help) make_row(Kind::kind, Unit::unit, name, labels, help),
    SL_FAMILIES(SL_ROW)
#undef SL_ROW
};

}  // namespace

const FamilyRow& row(Family family) { return kRows[static_cast<size_t>(family)]; }

std::string_view name(Kind kind) {
  constexpr std::string_view kNames[] = {"counter", "gauge", "histogram"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace sluice::stats
