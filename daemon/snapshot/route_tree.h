// RouteTable::Tree: what a route table is made of. Private to snapshot/: build (route_tree_build.cc), find (route_table.cc) and
// explain (route_trace.cc) share it, nothing else includes it.
//
// Nodes lie flat in one array, 32 bytes each, two to a cache line. The children of a node are one contiguous run: the routes
// whose pattern ends here in the order in which they are tried, then literals sorted by first byte, then parameters in the
// order in which they are tried. A run is followed by the subtrees of its nodes, depth first, so the unbranched end of a
// route's path, which no other request has warmed, lies in adjacent lines together with the route itself. A literal label
// longer than kPayloadBytes goes on in an only child. What a literal child is picked by, its first byte, stands in the parent
// behind the label if there is room, since at 100,000 routes each line touched costs more than all that is computed.
//
// Every node has one parent, and the way to it says how many segments of the path are taken and how many bytes of the next
// one: at a given path, a node can be reached at one position only. So no search visits a node twice, and backtracking costs
// at most as many steps as the tree has nodes, whatever the path; there is nothing exponential to memoise.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "http/message.h"
#include "snapshot/expression.h"
#include "snapshot/host_table.h"
#include "snapshot/route_table.h"

namespace sluice::snapshot {

struct RouteTable::Tree {
  static constexpr size_t kPayloadBytes = 16;

  enum class Kind : uint8_t { literal, integer, uuid, expression, plain, rest, route };

  /// A route at the end of a pattern.
  struct Entry {
    uint32_t route;
    http::MethodSet methods;
    uint32_t first_condition;
    uint32_t condition_count;
  };

  struct alignas(32) Node {
    uint32_t first_child = 0;
    uint32_t route_count = 0;
    uint32_t parameter_count = 0;
    uint16_t literal_count = 0;
    Kind kind = Kind::literal;
    uint8_t payload_length = 0;
    char payload[kPayloadBytes] = {};  // the label; of Kind::expression an index into expressions; of Kind::route the Entry

    [[nodiscard]] uint32_t first_literal() const { return first_child + route_count; }
    [[nodiscard]] uint32_t first_parameter() const { return first_literal() + literal_count; }
    /// The literal children's first bytes stand behind the payload, not in first_bytes.
    [[nodiscard]] bool holds_first_bytes() const { return payload_length + literal_count <= kPayloadBytes; }
    template <typename T>
    [[nodiscard]] T payload_as() const {
      T value;
      std::memcpy(&value, payload, sizeof(T));
      return value;
    }
    template <typename T>
    void set_payload(const T& value) {
      static_assert(sizeof(T) <= kPayloadBytes && std::is_trivially_copyable_v<T>);
      std::memcpy(payload, &value, sizeof(T));
      payload_length = sizeof(T);
    }
  };
  static_assert(sizeof(Node) == 32);

  struct Condition {
    std::string name;
    std::string value;
    http::HeaderId id = http::HeaderId::other;
    bool is_header = false;
    bool any = false;
  };

  std::vector<Node> nodes;  // and one more at the end, so that 8 bytes can be read from any byte of a node
  std::vector<char> first_bytes;  // of each node's label, for runs whose parent has no room; padded by 8
  std::vector<Condition> conditions;
  std::vector<Expression> expressions;
  HostTable hosts;

  [[nodiscard]] const Node* literal_child(const Node& node, std::string_view rest) const;
  [[nodiscard]] bool holds(const Condition& condition, const RouteQuery& query) const;
  [[nodiscard]] bool conditions_hold(const Entry& entry, const RouteQuery& query) const;
  /// Does the parameter `node` take `text`: a segment, or for Kind::rest all that is left of the path?
  [[nodiscard]] Expression::Outcome takes(const Node& node, std::string_view text) const;
  [[nodiscard]] size_t memory_bytes() const;
};

/// The segment that begins `rest`.
std::string_view first_segment(std::string_view rest);

}  // namespace sluice::snapshot
