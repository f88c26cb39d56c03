// SectionReader walks the tree along the schema: looks every key up, refuses what is unknown, missing or of
// the wrong kind, and lets the row's binding put the value into the draft. Lives during one compilation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/diagnostic.h"
#include "control/schema.h"
#include "control/tree.h"

namespace sluice::control {

class SectionReader {
 public:
  SectionReader(const Tree& tree, Diagnostics& diagnostics) : tree_(tree), diagnostics_(diagnostics) {}

  /// Reads a map with the section's keys into `owner`, whose type must be the section's (`owner_type` is
  /// checked).
  void read(Section section, Node& node, void* owner, const void* owner_type);

  // For bindings: each reports what is wrong and returns false.

  /// The value is a scalar.
  bool expect_scalar(const Row& row, const Node& node);
  /// The value is a list or a map; nothing written counts as an empty one.
  bool expect_list(const Row& row, const Node& node);
  bool expect_map(const Row& row, const Node& node);
  /// The name of a listener or an upstream, which becomes a label.
  bool expect_name(const Entry& entry);

  void error(Place place, std::string message) { diagnostics_.error(place, std::move(message)); }
  /// "sluice.yaml:42".
  [[nodiscard]] std::string describe(Place place) const { return diagnostics_.describe(place); }
  /// `key: "text" is not a duration; write 250ms, 5s or 1m30s`.
  void refuse(const Row& row, const Node& node);
  void refuse(const Row& row, const Node& node, std::string_view why);
  /// A value between quotes as an error may show it: as written in the file if it is secret.
  [[nodiscard]] std::string quoted(const Row& row, const Node& node) const;
  [[nodiscard]] bool in_range(const Row& row, const Node& node, uint64_t value);
  /// The choice that the scalar names; nullptr after an error.
  const Choice* choose(const Row& row, const Node& node);

 private:
  void read_entry(const Row& row, const Entry& entry, void* owner);
  /// Returns the row whose key was probably meant, if any.
  const Row* refuse_unknown(Section section, const Entry& entry);
  void refuse_missing(const Row& row, const Node& node);

  const Tree& tree_;
  Diagnostics& diagnostics_;
};

}  // namespace sluice::control
