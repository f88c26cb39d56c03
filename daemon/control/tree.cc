#include "control/tree.h"

#include <algorithm>

namespace sluice::control {

std::string_view what_it_is(const Node& node) {
  switch (node.kind) {
    case Node::Kind::scalar: return "a single value";
    case Node::Kind::list: return "a list";
    case Node::Kind::map: return "a map";
    case Node::Kind::null:
    case Node::Kind::broken: break;
  }
  return "nothing";
}

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
  Node& node = nodes_.emplace_back(&memory_);
  node.kind = kind;
  node.place = place;
  return node;
}

std::string_view Tree::keep(std::string_view text) {
  char* copy = static_cast<char*>(memory_.allocate(text.size(), 1));
  std::copy(text.begin(), text.end(), copy);
  return {copy, text.size()};
}

std::string_view Tree::written(const Node& node) const {
  const auto found = written_.find(&node);
  return found == written_.end() ? node.text : std::string_view(found->second);
}

}  // namespace sluice::control
