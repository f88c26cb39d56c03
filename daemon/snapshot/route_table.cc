#include "snapshot/route_table.h"

#include <bit>
#include <cstring>

#include "base/strings.h"
#include "http/uri.h"
#include "snapshot/pattern.h"
#include "snapshot/route_tree.h"

namespace sluice::snapshot {
namespace {

using Tree = RouteTable::Tree;
using Node = Tree::Node;

static_assert(std::endian::native == std::endian::little, "find_byte() takes the lowest byte for the first");
constexpr uint64_t kOnes = 0x0101'0101'0101'0101;

// Eight flags (0x80) that tell which bytes of `word` equal `byte`; exact up to and including the lowest one set.
uint64_t bytes_equal(uint64_t word, uint8_t byte) {
  const uint64_t differs = word ^ (kOnes * byte);
  return (differs - kOnes) & ~differs & (kOnes << 7);
}

template <typename T>
T load(const char* at) {
  T word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// The index of `byte` among `count` bytes, of which 8 more may be read; `count` or more if it is not there.
inline size_t find_byte(const char* bytes, size_t count, char byte) {
  for (size_t i = 0; i < count; i += 8) {
    if (const uint64_t found = bytes_equal(load<uint64_t>(bytes + i), static_cast<uint8_t>(byte)); found != 0) {
      return i + static_cast<size_t>(std::countr_zero(found)) / 8;
    }
  }
  return count;
}

// Are the first `length` bytes equal, 1 to 16 of them? A call of memcmp costs three times as much: labels are short.
inline bool equal16(const char* a, const char* b, size_t length) {
  if (length >= 8) return load<uint64_t>(a) == load<uint64_t>(b) && load<uint64_t>(a + length - 8) == load<uint64_t>(b + length - 8);
  if (length >= 4) return load<uint32_t>(a) == load<uint32_t>(b) && load<uint32_t>(a + length - 4) == load<uint32_t>(b + length - 4);
  return a[0] == b[0] && a[length / 2] == b[length / 2] && a[length - 1] == b[length - 1];
}

inline bool starts_with_label(std::string_view rest, const Node& node) {
  return node.payload_length <= rest.size() && equal16(rest.data(), node.payload, node.payload_length);
}

// The length of the segment that begins `rest`.
inline size_t segment_length(std::string_view rest) {
  size_t i = 0;
  for (; i + 8 <= rest.size(); i += 8) {
    if (const uint64_t found = bytes_equal(load<uint64_t>(rest.data() + i), '/'); found != 0) {
      return i + static_cast<size_t>(std::countr_zero(found)) / 8;
    }
  }
  while (i < rest.size() && rest[i] != '/') ++i;
  return i;
}

inline const Node* child_of(const Tree& tree, const Node& node, std::string_view rest) {
  if (node.literal_count == 0 || rest.empty()) return nullptr;
  const Node* child = &tree.nodes[node.first_literal()];
  if (node.literal_count > 1) {
    const char* bytes =
        node.holds_first_bytes() ? node.payload + node.payload_length : &tree.first_bytes[node.first_literal()];
    const size_t i = find_byte(bytes, node.literal_count, rest[0]);
    if (i >= node.literal_count) return nullptr;
    child += i;
  }
  return starts_with_label(rest, *child) ? child : nullptr;
}

}  // namespace

std::string_view first_segment(std::string_view rest) {
  return rest.substr(0, segment_length(rest));
}

const Node* Tree::literal_child(const Node& node, std::string_view rest) const {
  return child_of(*this, node, rest);
}

Expression::Outcome Tree::takes(const Node& node, std::string_view text) const {
  if (node.kind == Kind::rest) return Expression::Outcome::match;
  if (text.empty()) return Expression::Outcome::no_match;
  if (node.kind == Kind::plain) return Expression::Outcome::match;
  if (node.kind == Kind::expression) return expressions[node.payload_as<uint32_t>()].match(text);
  const bool fits = node.kind == Kind::integer ? is_integer(text) : is_uuid(text);
  return fits ? Expression::Outcome::match : Expression::Outcome::no_match;
}

bool Tree::holds(const Condition& condition, const RouteQuery& query) const {
  if (!condition.is_header) {
    std::string_view value;
    return http::find_query_parameter(query.query, condition.name, value) &&
           (condition.any || http::decoded_equals(value, condition.value));
  }
  if (query.headers == nullptr) return false;
  for (const http::HeaderField& field : *query.headers) {
    if (field.id != condition.id) continue;
    if (field.id == http::HeaderId::other && !iequals(field.name, condition.name)) continue;
    if (condition.any || field.value == condition.value) return true;
  }
  return false;
}

bool Tree::conditions_hold(const Entry& entry, const RouteQuery& query) const {
  for (uint32_t i = 0; i < entry.condition_count; ++i) {
    if (!holds(conditions[entry.first_condition + i], query)) return false;
  }
  return true;
}

size_t Tree::memory_bytes() const {
  size_t bytes = nodes.capacity() * sizeof(Node) + first_bytes.capacity() +
                 conditions.capacity() * sizeof(Condition) + expressions.capacity() * sizeof(Expression);
  for (const Condition& condition : conditions) bytes += condition.name.capacity() + condition.value.capacity();
  return sizeof(*this) + bytes + hosts.memory_bytes();
}

namespace {

// One search through one host's tree: goes down as long as something fits, most specific first, and where a node leaves
// other ways open, remembers it as a Turn to come back to.
class Search {
 public:
  Search(const Tree& tree, const RouteQuery& query, RouteMatch& match)
      : tree_(tree), query_(query), match_(match), path_(query.path) {}

  /// True if the search is over: matched, or regex_limit. `match` is complete then.
  bool run(const Node& root) {
    if (!starts_with_label(path_, root)) return false;
    const Node* node = &root;
    rest_ = path_.substr(root.payload_length);
    captures_ = 0;
    for (;;) {
      if (rest_.empty() && node->route_count > 0 && accept(*node)) return true;
      if (const Node* child = child_of(tree_, *node, rest_)) {
        if (node->parameter_count > 0) remember(*node, 0);
        node = child;
        rest_.remove_prefix(child->payload_length);
        continue;
      }
      for (node = take_parameter(*node, 0); node == nullptr; node = next_turn()) {
        if (match_.outcome == RouteMatch::Outcome::regex_limit) return true;
        if (turn_count_ == 0) return false;
      }
    }
  }

 private:
  struct Turn {
    const Node* node;
    uint32_t parameter;  // the next to try
    uint32_t captures;
    size_t rest;  // how much of the path was left
  };

  void remember(const Node& node, uint32_t parameter) {
    turns_[turn_count_++] = {&node, parameter, captures_, rest_.size()};
  }

  // Back to the last place with a way left, and on along that; nullptr if that way is closed too.
  const Node* next_turn() {
    const Turn& turn = turns_[--turn_count_];
    rest_ = path_.substr(path_.size() - turn.rest);
    captures_ = turn.captures;
    return take_parameter(*turn.node, turn.parameter);
  }

  // The first parameter from `first` on that takes what comes next in the path; moves past it.
  const Node* take_parameter(const Node& node, uint32_t first) {
    if (first >= node.parameter_count) return nullptr;
    const std::string_view segment = rest_.substr(0, segment_length(rest_));
    for (uint32_t i = first; i < node.parameter_count; ++i) {
      const Node& child = tree_.nodes[node.first_parameter() + i];
      const std::string_view taken = child.kind == Tree::Kind::rest ? rest_ : segment;
      const Expression::Outcome outcome = tree_.takes(child, taken);
      if (outcome == Expression::Outcome::no_match) continue;
      if (outcome == Expression::Outcome::limit) {
        // Going on to a less specific route would let a client choose to skip this one.
        match_.outcome = RouteMatch::Outcome::regex_limit;
        return nullptr;
      }
      if (i + 1 < node.parameter_count) remember(node, i + 1);
      match_.captures[captures_++] = taken;
      rest_.remove_prefix(taken.size());
      return &child;
    }
    return nullptr;
  }

  bool accept(const Node& node) {
    const http::MethodSet method = http::method_bit(query_.method);
    for (uint32_t i = 0; i < node.route_count; ++i) {
      const auto entry = tree_.nodes[node.first_child + i].payload_as<Tree::Entry>();
      if (!tree_.conditions_hold(entry, query_)) continue;
      if ((entry.methods & method) == 0) {
        match_.allowed |= entry.methods;
        continue;
      }
      match_.outcome = RouteMatch::Outcome::matched;
      match_.route = entry.route;
      match_.capture_count = captures_;
      return true;
    }
    return false;
  }

  const Tree& tree_;
  const RouteQuery& query_;
  RouteMatch& match_;
  std::string_view path_;
  std::string_view rest_;  // of the path, from where the search stands
  uint32_t captures_ = 0;
  size_t turn_count_ = 0;
  // At most one per node on the way down that has parameters, and those stand at the beginning of a segment.
  std::array<Turn, kMaxPatternSegments> turns_;
};

}  // namespace

RouteTable::RouteTable() = default;
RouteTable::~RouteTable() = default;
RouteTable::RouteTable(RouteTable&&) noexcept = default;
RouteTable& RouteTable::operator=(RouteTable&&) noexcept = default;

void RouteTable::find(const RouteQuery& query, RouteMatch& match) const {
  match.outcome = RouteMatch::Outcome::no_route;
  match.route = 0;
  match.allowed = 0;
  match.capture_count = 0;
  if (tree_ == nullptr) return;
  Search search(*tree_, query, match);
  for (uint32_t host = tree_->hosts.find(query.host); host != HostTable::kNone; host = tree_->hosts[host].next) {
    if (search.run(tree_->nodes[tree_->hosts[host].root])) return;
  }
  if (match.allowed != 0) match.outcome = RouteMatch::Outcome::method_not_allowed;
}

size_t RouteTable::memory_bytes() const {
  return sizeof(*this) + (tree_ == nullptr ? 0 : tree_->memory_bytes());
}

}  // namespace sluice::snapshot
