// The tree that the YAML reader makes of the configuration's files: plain nodes that know where they were
// written. It is kept only while a configuration is compiled, and given back at once: everything lies in one
// growing piece of memory, since a large configuration has millions of keys and values. Aliases share nodes,
// so a node may be reached on several ways.
#pragma once

#include <deque>
#include <memory_resource>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/diagnostic.h"

namespace sluice::control {

struct Node;

/// An element of a map or of a list; a list's elements have no key.
struct Entry {
  std::string_view key;
  Place key_place;
  Node* value = nullptr;
};

struct Node {
  explicit Node(std::pmr::memory_resource* memory) : entries(memory) {}

  enum class Kind : uint8_t {
    null,    // nothing was written, or ~
    scalar,  // `text`, with environment variables replaced
    list,
    map,
    broken,  // an error about it was reported already; say no more
  };
  Kind kind = Kind::null;
  bool quoted = false;            // a scalar in quotes
  bool from_environment = false;  // a scalar with a variable in it; Tree::written() has what the file says
  bool secret = false;            // a schema row says so: never printed
  Place place;
  std::string_view text;
  std::pmr::vector<Entry> entries;

  /// A map's entry; nullptr if there is none of that key.
  [[nodiscard]] const Entry* find_entry(std::string_view key) const;
  /// Its value.
  [[nodiscard]] Node* find(std::string_view key) const;
};

/// "a list", for messages.
std::string_view what_it_is(const Node& node);

/// Owns the nodes and their texts; addresses are stable.
class Tree {
 public:
  Node& add(Node::Kind kind, Place place);
  /// A copy of a text, for a node or an entry.
  [[nodiscard]] std::string_view keep(std::string_view text);

  void keep_written(const Node& node, std::string text) { written_.emplace(&node, std::move(text)); }
  /// A scalar as it stands in the file, before variables were replaced.
  [[nodiscard]] std::string_view written(const Node& node) const;

  [[nodiscard]] size_t size() const { return nodes_.size(); }

 private:
  std::pmr::monotonic_buffer_resource memory_;  // lives longer than what is made of it
  std::pmr::deque<Node> nodes_{&memory_};
  std::unordered_map<const Node*, std::string> written_;
};

}  // namespace sluice::control
