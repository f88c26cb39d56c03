// Builds the tree out of sorted pattern keys (PatternKeys): routes whose keys share a prefix stand together, so every
// subtree is a run of the sorted list, and no node is ever split or moved.
#include <algorithm>
#include <memory>
#include <span>
#include <tuple>
#include <unordered_map>

#include "base/assert.h"
#include "http/byte_block.h"
#include "snapshot/route_tree.h"

namespace sluice::snapshot {
namespace {

using Tree = RouteTable::Tree;

struct Item {
  std::string_view key;
  uint32_t route;
};
using Items = std::span<const Item>;

size_t condition_count(const RouteSpec& route) { return route.match.conditions.size(); }

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
      grow(hosts.back().root, items, 0);
    }
    tree_.hosts.build(std::move(hosts));
    add_nodes(1);
    tree_.nodes.shrink_to_fit();
    add_first_bytes();
  }

 private:
  void add_keys();
  void add_conditions();
  std::vector<std::pair<std::string, std::vector<Item>>> items_by_host() const;
  void sort(std::vector<Item>& items) const;
  uint32_t add_nodes(size_t count);
  void grow(uint32_t node, Items items, size_t at);
  size_t set_label(Tree::Node& node, Items items, size_t at) const;
  void set_leaf(Tree::Node& node, uint32_t route) const;
  void add_children(uint32_t node, Items items, size_t at);
  void add_first_bytes();

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
  std::vector<Tree::LeafCondition>& conditions = tree_.conditions;
  for (const RouteSpec& route : routes_) {
    first_condition_.push_back(condition_count(route) == 0 ? Tree::kNone : static_cast<uint32_t>(conditions.size()));
    for (const Condition& c : route.match.conditions) {
      const bool is_header = c.kind == Condition::Kind::header;
      conditions.push_back({c, is_header ? http::header_id(c.name) : http::HeaderId::other});
    }
    if (condition_count(route) != 0) conditions.back().last = true;
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

// Runs of `items` that go on with the same token at `at`.
std::vector<Items> groups_at(Items items, size_t at) {
  std::vector<Items> groups;
  for (auto begin = items.begin(); begin != items.end();) {
    const auto end = std::find_if(begin, items.end(),
                                  [&](const Item& i) { return token_at(i.key, at) != token_at(begin->key, at); });
    groups.emplace_back(begin, end);
    begin = end;
  }
  return groups;
}

// The order in which the parameters of one place are tried: typed ones as the file first names them here, plain, the
// rest.
void sort_parameters(std::vector<Items>& groups, size_t at) {
  const auto rank = [&](Items items) {
    const auto mark = static_cast<Mark>(items.front().key[at]);
    return mark == Mark::rest ? 2 : mark == Mark::plain ? 1 : 0;
  };
  const auto first_route = [](Items items) {
    return std::min_element(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.route < b.route; })
        ->route;
  };
  if (groups.size() < 2) return;
  std::vector<std::tuple<int, uint32_t, Items>> keyed;
  for (const Items& items : groups) keyed.emplace_back(rank(items), first_route(items), items);
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a)) < std::tie(std::get<0>(b), std::get<1>(b));
  });
  for (size_t i = 0; i < groups.size(); ++i) groups[i] = std::get<2>(keyed[i]);
}

// `items` share their keys up to `at`, where the label of `node` begins.
void TreeBuilder::grow(uint32_t node, Items items, size_t at) {
  at += set_label(tree_.nodes[node], items, at);
  if (items.size() == 1 && items.front().key.size() == at) return set_leaf(tree_.nodes[node], items.front().route);
  add_children(node, items, at);
}

// The label is what all items share from `at` on, by whole tokens, as far as there is room. Returns its length.
size_t TreeBuilder::set_label(Tree::Node& node, Items items, size_t at) const {
  // Sorted: what the first and the last share, all share.
  const std::string_view first = items.front().key;
  const std::string_view last = items.back().key;
  size_t end = at;
  while (end < first.size() && end < last.size()) {
    const std::string_view next = token_at(first, end);
    if (next != token_at(last, end) || end + next.size() - at > Tree::kLabelBytes) break;
    end += next.size();
  }
  const std::string_view label = first.substr(at, end - at);
  std::copy(label.begin(), label.end(), node.label);
  node.label_length = static_cast<uint8_t>(label.size());
  node.literal_length = static_cast<uint8_t>(std::find_if(label.begin(), label.end(), is_mark) - label.begin());
  return label.size();
}

void TreeBuilder::set_leaf(Tree::Node& node, uint32_t route) const {
  node.is_leaf = true;
  node.leaf = {.route = route, .methods = routes_[route].match.methods, .first_condition = first_condition_[route]};
}

// `items` share their keys up to `at`, where the label of `node` ends.
void TreeBuilder::add_children(uint32_t node, Items items, size_t at) {
  const auto ended =
      std::partition_point(items.begin(), items.end(), [&](const Item& i) { return i.key.size() == at; });
  const auto marked = std::partition_point(ended, items.end(), [&](const Item& i) { return is_mark(i.key[at]); });
  const Items routes(items.begin(), ended);
  const std::vector<Items> literals = groups_at(Items(marked, items.end()), at);
  std::vector<Items> parameters = groups_at(Items(ended, marked), at);
  sort_parameters(parameters, at);

  const uint32_t first = add_nodes(routes.size() + literals.size() + parameters.size());
  tree_.nodes[node].branch = {first, static_cast<uint32_t>(routes.size()), static_cast<uint32_t>(parameters.size())};
  tree_.nodes[node].literal_count = static_cast<uint8_t>(literals.size());
  uint32_t child = first;
  for (const Item& item : routes) set_leaf(tree_.nodes[child++], item.route);
  for (const Items& group : literals) grow(child++, group, at);
  for (const Items& group : parameters) grow(child++, group, at);
}

void TreeBuilder::add_first_bytes() {
  tree_.first_bytes.resize(tree_.nodes.size() + http::kBlockBytes);
  for (Tree::Node& node : tree_.nodes) {
    if (node.is_leaf) continue;
    node.own_first_bytes = node.label_length + node.literal_count <= Tree::kLabelBytes;
    char* to = node.own_first_bytes ? node.label + node.label_length : &tree_.first_bytes[node.first_literal()];
    for (uint32_t i = 0; i < node.literal_count; ++i) to[i] = tree_.nodes[node.first_literal() + i].label[0];
  }
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
