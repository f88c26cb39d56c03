// Builds the tree out of sorted pattern keys (PatternKeys): routes whose keys share a prefix stand together, so every
// subtree is a run of the sorted list, and no node is ever split or moved.
#include <algorithm>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/assert.h"
#include "base/strings.h"
#include "snapshot/pattern.h"
#include "snapshot/route_tree.h"

namespace sluice::snapshot {
namespace {

using Tree = RouteTable::Tree;

struct Item {
  std::string_view key;
  uint32_t route;
};
using Items = std::span<const Item>;

size_t condition_count(const RouteSpec& route) {
  return route.match.headers.size() + route.match.query.size();
}

class TreeBuilder {
 public:
  TreeBuilder(Tree& tree, std::span<const RouteSpec> routes) : tree_(tree), routes_(routes) {}

  void build() {
    add_keys();
    add_conditions();
    for (const std::string& expression : keys_.expressions()) {
      auto compiled = Expression::compile(expression);
      SL_ASSERT(compiled.index() == 0);
      tree_.expressions.push_back(std::move(*std::get_if<Expression>(&compiled)));
    }
    std::vector<HostTable::Host> hosts;
    for (auto& [host, items] : items_by_host()) {
      sort(items);
      hosts.push_back({.text = host, .root = add_nodes(1)});
      grow_literal(hosts.back().root, items, 0);
    }
    tree_.hosts.build(std::move(hosts));
    add_nodes(1);
    tree_.nodes.shrink_to_fit();
    add_first_bytes();
  }

 private:
  struct ParameterGroup {
    uint32_t type;  // PatternKeys
    uint32_t first_route;
    Items items;
  };
  static constexpr uint32_t kRestType = UINT32_MAX;

  void add_keys();
  void add_conditions();
  std::vector<std::pair<std::string, std::vector<Item>>> items_by_host() const;
  void sort(std::vector<Item>& items) const;
  uint32_t add_nodes(size_t count);
  void add_first_bytes();
  void add_route(uint32_t node, uint32_t route);
  void grow(uint32_t node, Items items, size_t at);
  void grow_literal(uint32_t node, Items items, size_t at);
  void grow_parameter(uint32_t node, const ParameterGroup& group, size_t at);
  static std::vector<Items> literal_groups(Items items, size_t at);
  static std::vector<ParameterGroup> parameter_groups(Items items, size_t at);

  Tree& tree_;
  std::span<const RouteSpec> routes_;
  PatternKeys keys_;
  std::vector<std::string> key_of_route_;
  std::vector<uint32_t> first_condition_;
};

void TreeBuilder::add_keys() {
  key_of_route_.reserve(routes_.size());
  for (const RouteSpec& route : routes_) key_of_route_.push_back(keys_.key_of(parsed_pattern(route.match.path)));
}

void TreeBuilder::add_conditions() {
  for (const RouteSpec& route : routes_) {
    first_condition_.push_back(static_cast<uint32_t>(tree_.conditions.size()));
    for (const FieldCondition& c : route.match.headers) {
      tree_.conditions.push_back({c.name, c.value, http::header_id(c.name), true, c.any});
    }
    for (const FieldCondition& c : route.match.query) {
      tree_.conditions.push_back({c.name, c.value, http::HeaderId::other, false, c.any});
    }
  }
}

// In the order in which the file first names the hosts, so that equal files make equal trees.
std::vector<std::pair<std::string, std::vector<Item>>> TreeBuilder::items_by_host() const {
  std::vector<std::pair<std::string, std::vector<Item>>> hosts;
  std::unordered_map<std::string, size_t> index;
  const auto add = [&](const std::string& host, uint32_t route) {
    const auto [at, fresh] = index.try_emplace(host, hosts.size());
    if (fresh) hosts.emplace_back(host, std::vector<Item>());
    std::vector<Item>& items = hosts[at->second].second;
    if (items.empty() || items.back().route != route) items.push_back({key_of_route_[route], route});
  };
  for (uint32_t route = 0; route < routes_.size(); ++route) {
    for (const std::string& host : routes_[route].match.hosts) add(canonical_host(host), route);
    if (routes_[route].match.hosts.empty()) add(std::string(), route);
  }
  return hosts;
}

void TreeBuilder::sort(std::vector<Item>& items) const {
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
    if (const int order = a.key.compare(b.key); order != 0) return order < 0;
    const size_t conditions_a = condition_count(routes_[a.route]);
    const size_t conditions_b = condition_count(routes_[b.route]);
    return conditions_a != conditions_b ? conditions_a > conditions_b : a.route < b.route;
  });
}

uint32_t TreeBuilder::add_nodes(size_t count) {
  const size_t first = tree_.nodes.size();
  SL_ASSERT(first + count <= UINT32_MAX);
  tree_.nodes.resize(first + count);
  return static_cast<uint32_t>(first);
}

void TreeBuilder::add_route(uint32_t node, uint32_t route) {
  const RouteSpec& spec = routes_[route];
  tree_.nodes[node].kind = Tree::Kind::route;
  tree_.nodes[node].set_payload(Tree::Entry{.route = route,
                                            .methods = spec.match.methods,
                                            .first_condition = first_condition_[route],
                                            .condition_count = static_cast<uint32_t>(condition_count(spec))});
}

void TreeBuilder::add_first_bytes() {
  tree_.first_bytes.resize(tree_.nodes.size() + sizeof(uint64_t));
  for (Tree::Node& node : tree_.nodes) {
    if (node.kind == Tree::Kind::route) continue;
    char* inside = node.payload + node.payload_length;
    char* to = node.holds_first_bytes() ? inside : &tree_.first_bytes[node.first_literal()];
    for (uint32_t i = 0; i < node.literal_count; ++i) to[i] = tree_.nodes[node.first_literal() + i].payload[0];
  }
}

std::vector<TreeBuilder::ParameterGroup> TreeBuilder::parameter_groups(Items items, size_t at) {
  std::vector<ParameterGroup> groups;
  for (size_t begin = 0, end = 0; begin < items.size(); begin = end) {
    const auto type_of = [&](const Item& item) {
      return item.key[at] == PatternKeys::kRestMark ? kRestType : PatternKeys::type_at(item.key, at);
    };
    const uint32_t type = type_of(items[begin]);
    uint32_t first_route = items[begin].route;
    for (end = begin; end < items.size() && type_of(items[end]) == type; ++end) {
      first_route = std::min(first_route, items[end].route);
    }
    groups.push_back({type, first_route, items.subspan(begin, end - begin)});
  }
  // Typed ones in the order in which the file first names them at this place, then plain, then the rest.
  const auto rank = [](const ParameterGroup& g) { return g.type == kRestType ? 2 : g.type == PatternKeys::kPlain ? 1 : 0; };
  std::sort(groups.begin(), groups.end(), [&](const ParameterGroup& a, const ParameterGroup& b) {
    return rank(a) != rank(b) ? rank(a) < rank(b) : a.first_route < b.first_route;
  });
  return groups;
}

// `items` share their keys up to `at`, and `node` stands for that prefix.
void TreeBuilder::grow(uint32_t node, Items items, size_t at) {
  const auto is_end = [&](const Item& item) { return item.key.size() == at; };
  const auto is_parameter = [&](const Item& item) { return item.key[at] <= PatternKeys::kRestMark; };
  const auto ended = std::partition_point(items.begin(), items.end(), is_end);
  const auto parametrised = std::partition_point(ended, items.end(), is_parameter);
  const Items routes(items.begin(), ended);
  const std::vector<Items> literals = literal_groups(Items(parametrised, items.end()), at);
  const std::vector<ParameterGroup> parameters = parameter_groups(Items(ended, parametrised), at);

  uint32_t child = add_nodes(routes.size() + literals.size() + parameters.size());
  tree_.nodes[node].first_child = child;
  tree_.nodes[node].route_count = static_cast<uint32_t>(routes.size());
  tree_.nodes[node].literal_count = static_cast<uint16_t>(literals.size());
  tree_.nodes[node].parameter_count = static_cast<uint32_t>(parameters.size());
  for (const Item& item : routes) add_route(child++, item.route);
  for (const Items& group : literals) grow_literal(child++, group, at);
  for (const ParameterGroup& group : parameters) grow_parameter(child++, group, at);
}

std::vector<Items> TreeBuilder::literal_groups(Items items, size_t at) {
  std::vector<Items> groups;
  for (auto begin = items.begin(); begin != items.end();) {
    const auto end = std::find_if(begin, items.end(), [&](const Item& item) { return item.key[at] != begin->key[at]; });
    groups.emplace_back(begin, end);
    begin = end;
  }
  return groups;
}

void TreeBuilder::grow_literal(uint32_t node, Items items, size_t at) {
  const std::string_view first = items.front().key.substr(at);
  const std::string_view last = items.back().key.substr(at);
  size_t length = 0;
  // Sorted: what the first and the last share, all share.
  while (length < Tree::kPayloadBytes && length < std::min(first.size(), last.size()) && first[length] == last[length] &&
         first[length] > PatternKeys::kRestMark) {
    ++length;
  }
  std::copy_n(first.begin(), length, tree_.nodes[node].payload);
  tree_.nodes[node].payload_length = static_cast<uint8_t>(length);
  grow(node, items, at + length);
}

void TreeBuilder::grow_parameter(uint32_t node, const ParameterGroup& group, size_t at) {
  Tree::Node& n = tree_.nodes[node];
  if (group.type == kRestType) {
    n.kind = Tree::Kind::rest;
    return grow(node, group.items, at + 1);
  }
  if (group.type >= PatternKeys::kFirstExpression) {
    n.kind = Tree::Kind::expression;
    n.set_payload(group.type - PatternKeys::kFirstExpression);
  } else {
    n.kind = group.type == PatternKeys::kInteger ? Tree::Kind::integer
             : group.type == PatternKeys::kUuid  ? Tree::Kind::uuid
                                                 : Tree::Kind::plain;
  }
  grow(node, group.items, at + PatternKeys::kParameterBytes);
}

}  // namespace

RouteTable RouteTable::build(std::span<const RouteSpec> routes) {
  auto tree = std::make_unique<Tree>();
  TreeBuilder(*tree, routes).build();
  RouteTable table;
  table.tree_ = std::move(tree);
  return table;
}

}  // namespace sluice::snapshot
