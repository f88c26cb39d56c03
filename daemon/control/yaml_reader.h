// YAML text, which is UTF-8, to a tree of nodes. The only file that knows libyaml, whose events say what stands
// where. What it leaves to its caller is here: aliases, duplicate keys, what is null, errors in words for a
// person. Replaces environment variables, and bounds what a hostile text can cost: depth, nodes, and the
// expansion of aliases.
#pragma once

#include "control/diagnostic.h"
#include "control/tree.h"

namespace sluice::control {

struct YamlLimits {
  size_t depth = 32;
  size_t nodes = 8'000'000;
  size_t alias_bytes = size_t{4} << 20;  // what all aliases together may stand for
};

/// Reads a file that is registered with `diagnostics`. Returns the document's root, or nullptr after a syntax
/// error; other errors (duplicate keys, unset variables) leave broken nodes, so that the rest can still be
/// checked. An empty document is a null node.
Node* read_yaml(uint32_t file, Tree& tree, Diagnostics& diagnostics, const YamlLimits& limits = {});

}  // namespace sluice::control
