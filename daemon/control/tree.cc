#include "control/tree.h"

namespace sluice::control {

const Entry* Node::find_entry(std::string_view key) const {
  if (kind != Kind::map) return nullptr;
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

Node* Node::find(std::string_view key) const {
  const Entry* entry = find_entry(key);
  return entry != nullptr ? entry->value : nullptr;
}

Node& Tree::add(Node::Kind kind, Place place) {
  Node& node = nodes_.emplace_back();
  node.kind = kind;
  node.place = place;
  return node;
}

std::string_view Tree::written(const Node& node) const {
  const auto found = written_.find(&node);
  return found == written_.end() ? std::string_view(node.text) : std::string_view(found->second);
}

}  // namespace sluice::control
