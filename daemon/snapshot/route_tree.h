// RouteTable::Tree: what a route table is made of. Private to snapshot/: build (route_tree_build.cc), find
// (route_table.cc) and explain (route_trace.cc) share it, nothing else includes it.
//
// A tree over pattern keys (pattern.h), compressed: a node's label is as much of the key as all routes below it share,
// parameters included, so there are nodes only where routes part, and one per route. Nodes lie flat in one array, 32
// bytes each, two to a cache line. The children of a node are one run: the routes whose pattern ends here in the order
// in which they are tried, then those whose label begins with a literal, sorted by first byte, then those that begin
// with a parameter, in the order in which they are tried. Behind a run stand the subtrees of its nodes, depth first.
// The first bytes that literal children are picked by stand in the parent behind its label, if there is room. All this
// is to touch few cache lines: at 100,000 routes they cost more than everything that is computed (daemon/DECISIONS.md).
//
// Every node has one parent, and the way to it says how many segments of the path are taken and how many bytes of the
// next one: at a given path, a node can be reached at one position only. So no search visits a node twice, and
// backtracking costs at most as many steps as the tree has nodes, whatever the path; there is nothing exponential to
// memoise.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "snapshot/expression.h"
#include "snapshot/host_table.h"
#include "snapshot/pattern.h"
#include "snapshot/route_table.h"

namespace sluice::snapshot {

struct RouteTable::Tree {
  static constexpr size_t kLabelBytes = 16;

  static constexpr uint32_t kNone = UINT32_MAX;

  struct Branch {
    uint32_t first_child;
    uint32_t route_count;
    uint32_t parameter_count;
  };
  struct Leaf {  // one route
    uint32_t route;
    http::MethodSet methods;
    uint32_t first_condition;  // kNone: it has none
  };
  struct alignas(32) Node {
    union {
      Branch branch = {};
      Leaf leaf;
    };
    bool is_leaf : 1 = false;
    bool own_first_bytes : 1 = false;  // the literal children's first bytes stand behind the label, not in first_bytes
    uint8_t literal_count = 0;         // of a branch; fewer than 100 bytes can stand in a literal
    uint8_t literal_length = 0;        // of the label up to its first parameter, or all of it
    uint8_t label_length = 0;
    char label[kLabelBytes] = {};  // a label that does not fit goes on in an only child

    [[nodiscard]] uint32_t first_literal() const { return branch.first_child + branch.route_count; }
    [[nodiscard]] uint32_t first_parameter() const { return first_literal() + literal_count; }
  };
  static_assert(sizeof(Node) == 32);

  struct LeafCondition : Condition {
    http::HeaderId id = http::HeaderId::other;  // of a header
    bool last = false;                          // of its route's
  };

  std::vector<Node> nodes;  // and one more, so that 16 bytes can be read from any byte of a node
  std::vector<char>
      first_bytes;  // of each node's label, for runs whose parent has no room; 16 more for the same reason
  std::vector<LeafCondition> conditions;
  std::vector<Expression> expressions;
  HostTable hosts;

  [[nodiscard]] bool holds(const LeafCondition& condition, const RouteQuery& query) const;
  [[nodiscard]] bool conditions_hold(const Leaf& leaf, const RouteQuery& query) const;
  /// Does the parameter at `token` of a label take `text`: a segment, or for Mark::rest all that is left of the path?
  [[nodiscard]] Expression::Outcome takes(const char* token, std::string_view text) const;
  [[nodiscard]] size_t memory_bytes() const;
};

}  // namespace sluice::snapshot
