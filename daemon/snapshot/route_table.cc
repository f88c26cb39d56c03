#include "snapshot/route_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/strings.h"
#include "http/byte_block.h"
#include "http/uri.h"
#include "snapshot/route_tree.h"

namespace sluice::snapshot {
namespace {

using Tree = RouteTable::Tree;
using Node = Tree::Node;

static_assert(std::endian::native == std::endian::little, "the first byte in memory is taken for the lowest of a word");

uint64_t load8(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// A path, and how far the search has come in it.
struct Rest {
  const char* at;
  const char* end;
  const char* begin;  // of the whole path: bytes before `at` may be read too, so that few bytes are read as one word

  [[nodiscard]] bool empty() const { return at == end; }
  [[nodiscard]] size_t size() const { return static_cast<size_t>(end - at); }
};

// Does `rest` begin with `length` bytes of a label, 1 to 16? Labels are short, and a call of memcmp costs three times
// as much.
inline bool begins_with(const Rest& rest, const char* label, size_t length) {
  const size_t left = rest.size();
  if (length > left) return false;
  if (length >= 8) {
    return load8(rest.at) == load8(label) && load8(rest.at + length - 8) == load8(label + length - 8);
  }
  const bool long_path = rest.end - rest.begin >= 8;
  if (!long_path) return std::equal(rest.at, rest.at + length, label);
  const uint64_t word = left >= 8 ? load8(rest.at) : load8(rest.end - 8) >> (64 - 8 * left);
  return (word ^ load8(label)) << (64 - 8 * length) == 0;
}

// The end of the segment that begins `rest`.
inline const char* segment_end(const Rest& rest) {
  const size_t left = rest.size();
  uint32_t slashes = 0;
  if (left >= http::kBlockBytes) {
    slashes = http::ByteBlock::load(rest.at).equal('/');
  } else if (rest.end - rest.begin >= static_cast<ptrdiff_t>(http::kBlockBytes)) {
    slashes = http::ByteBlock::load(rest.end - http::kBlockBytes).equal('/') >> (http::kBlockBytes - left);
    if (slashes == 0) return rest.end;
  }
  if (slashes != 0) return rest.at + std::countr_zero(slashes);
  return std::find(rest.at, rest.end, '/');
}

// How many bytes of a label come before the next parameter or the end.
inline size_t literal_length(const char* token, const char* end) {
  constexpr uint64_t kOnes = 0x0101'0101'0101'0101;
  constexpr uint64_t kAboveMarks = static_cast<uint64_t>(Mark::expression) + 1;
  const auto length = static_cast<size_t>(end - token);
  for (size_t i = 0; i < length; i += 8) {
    const uint64_t word = load8(token + i);
    // The sign bit of each byte that is below kAboveMarks; exact up to and including the lowest one set.
    if (const uint64_t marks = (word - kOnes * kAboveMarks) & ~word & (kOnes << 7); marks != 0) {
      return std::min(length, i + static_cast<size_t>(std::countr_zero(marks)) / 8);
    }
  }
  return length;
}

// The only literal child that a path may go on in whose next byte is `next`.
inline const Node* literal_child(const Tree& tree, const Node& node, char next) {
  if (node.literal_count == 0) return nullptr;
  const uint32_t first = node.first_literal();
  if (node.literal_count == 1) return &tree.nodes[first];
  const char* bytes = node.own_first_bytes ? node.label + node.label_length : &tree.first_bytes[first];
  for (uint32_t i = 0; i < node.literal_count; i += http::kBlockBytes) {
    const uint32_t found = http::ByteBlock::load(bytes + i).equal(next);
    if (found == 0) continue;
    const uint32_t index = i + static_cast<uint32_t>(std::countr_zero(found));
    return index < node.literal_count ? &tree.nodes[first + index] : nullptr;
  }
  return nullptr;
}

}  // namespace

Expression::Outcome Tree::takes(const char* token, std::string_view text) const {
  const auto mark = static_cast<Mark>(*token);
  if (mark == Mark::rest) return Expression::Outcome::match;
  if (text.empty()) return Expression::Outcome::no_match;
  if (mark == Mark::plain) return Expression::Outcome::match;
  if (mark == Mark::expression) return expressions[expression_number(token)].match(text);
  const bool fits = mark == Mark::integer ? is_integer(text) : is_uuid(text);
  return fits ? Expression::Outcome::match : Expression::Outcome::no_match;
}

bool Tree::holds(const LeafCondition& condition, const RouteQuery& query) const {
  std::string_view value;
  if (condition.kind == Condition::Kind::query) {
    return http::find_query_parameter(query.query, condition.name, value) &&
           (condition.any || http::decoded_equals(value, condition.value));
  }
  if (condition.kind == Condition::Kind::claim) {
    return query.claims != nullptr && query.claims->find_claim(condition.name, value) &&
           (condition.any || value == condition.value);
  }
  if (query.headers == nullptr) return false;
  for (const http::HeaderField& field : *query.headers) {
    if (field.id != condition.id) continue;
    if (field.id == http::HeaderId::other && !iequals(field.name, condition.name)) continue;
    if (condition.any || field.value == condition.value) return true;
  }
  return false;
}

bool Tree::conditions_hold(const Leaf& leaf, const RouteQuery& query) const {
  if (leaf.first_condition == kNone) return true;
  for (const LeafCondition* condition = &conditions[leaf.first_condition]; holds(*condition, query); ++condition) {
    if (condition->last) return true;
  }
  return false;
}

size_t Tree::memory_bytes() const {
  size_t bytes = nodes.capacity() * sizeof(Node) + first_bytes.capacity() +
                 conditions.capacity() * sizeof(LeafCondition) + expressions.capacity() * sizeof(Expression);
  for (const LeafCondition& condition : conditions) bytes += condition.name.capacity() + condition.value.capacity();
  return sizeof(*this) + bytes + hosts.memory_bytes();
}

namespace {

// One search through one host's tree: goes down as long as something fits, most specific first, and where a node leaves
// other ways open, remembers it as a Turn to come back to.
class Search {
 public:
  Search(const Tree& tree, const RouteQuery& query, RouteMatch& match)
      : tree_(tree), query_(query), match_(match), rest_(start()) {}

  /// True if the search is over: matched, or regex_limit. `match` is complete then.
  bool run(const Node& root) {
    rest_ = start();
    captures_ = 0;
    const Node* node = enter(root) ? &root : nullptr;
    for (;;) {
      if (node == nullptr) {
        if (turn_count_ == 0 || match_.outcome == RouteMatch::Outcome::regex_limit) break;
        node = next_turn();
      } else if (node->is_leaf) {
        if (rest_.empty() && accept(node->leaf)) return true;
        node = nullptr;
      } else {
        if (rest_.empty() && accept_any(*node)) return true;
        node = next_child(*node);
      }
    }
    return match_.outcome == RouteMatch::Outcome::regex_limit;
  }

 private:
  struct Turn {
    const Node* node;
    uint32_t parameter;  // the next to try
    uint32_t captures;
    const char* at;  // how far the search had come
  };
  static_assert(std::is_trivially_default_constructible_v<Turn>, "128 of them are not written in every search");

  const Node* next_child(const Node& node) {
    const Turn here{&node, 0, captures_, rest_.at};
    const Node* child = rest_.empty() ? nullptr : literal_child(tree_, node, *rest_.at);
    if (child == nullptr || !enter(*child)) return next_parameter(here);
    if (node.branch.parameter_count > 0) turns_[turn_count_++] = here;
    return child;
  }

  // Back to the last place with a way left, and on along that; nullptr if that way is closed too.
  const Node* next_turn() {
    const Turn turn = turns_[--turn_count_];
    rest_.at = turn.at;
    captures_ = turn.captures;
    return next_parameter(turn);
  }

  const Node* next_parameter(Turn here) {
    const uint32_t count = here.node->branch.parameter_count;
    while (here.parameter < count && match_.outcome != RouteMatch::Outcome::regex_limit) {
      const Node& child = tree_.nodes[here.node->first_parameter() + here.parameter++];
      if (enter_at_parameter(child)) {
        if (here.parameter < count) turns_[turn_count_++] = here;
        return &child;
      }
    }
    return nullptr;
  }

  // Moves past the label of `node` if the path goes on with it. The label begins with a literal.
  bool enter(const Node& node) {
    if (!begins_with(rest_, node.label, node.literal_length)) return false;
    if (node.literal_length != node.label_length) return enter_at_parameter(node);
    rest_.at += node.literal_length;
    return true;
  }

  // The same from the label's first parameter on; what stands before it fits.
  bool enter_at_parameter(const Node& node) {
    Rest rest = rest_;
    rest.at += node.literal_length;
    uint32_t captures = captures_;
    const char* const end = node.label + node.label_length;
    for (const char* token = node.label + node.literal_length;;) {
      const auto mark = static_cast<Mark>(*token);
      const char* const text_end = mark == Mark::rest ? rest.end : segment_end(rest);
      const std::string_view text(rest.at, static_cast<size_t>(text_end - rest.at));
      if (mark == Mark::plain ? text.empty() : !takes(token, text)) return false;
      match_.captures[captures++] = text;
      rest.at = text_end;
      token += mark == Mark::expression ? kExpressionTokenBytes : 1;
      if (token == end) break;
      // One parameter follows another only after a slash.
      const size_t length = literal_length(token, end);
      if (!begins_with(rest, token, length)) return false;
      rest.at += length;
      token += length;
      if (token == end) break;
    }
    rest_.at = rest.at;
    captures_ = captures;
    return true;
  }

  [[gnu::noinline]] bool takes(const char* token, std::string_view text) {
    const Expression::Outcome outcome = tree_.takes(token, text);
    // A search that went on to a less specific route would let a client choose to skip this one.
    if (outcome == Expression::Outcome::limit) match_.outcome = RouteMatch::Outcome::regex_limit;
    return outcome == Expression::Outcome::match;
  }

  [[nodiscard]] Rest start() const {
    const char* const path = query_.path.data();
    return {path, path + query_.path.size(), path};
  }

  bool accept_any(const Node& node) {
    for (uint32_t i = 0; i < node.branch.route_count; ++i) {
      if (accept(tree_.nodes[node.branch.first_child + i].leaf)) return true;
    }
    return false;
  }

  bool accept(const Tree::Leaf& leaf) {
    if (leaf.first_condition != Tree::kNone && !tree_.conditions_hold(leaf, query_)) return false;
    if ((leaf.methods & http::method_bit(query_.method)) == 0) {
      match_.allowed |= leaf.methods;
      return false;
    }
    match_.outcome = RouteMatch::Outcome::matched;
    match_.route = leaf.route;
    match_.capture_count = captures_;
    return true;
  }

  const Tree& tree_;
  const RouteQuery& query_;
  RouteMatch& match_;
  Rest rest_;
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

size_t RouteTable::memory_bytes() const { return sizeof(*this) + (tree_ == nullptr ? 0 : tree_->memory_bytes()); }

}  // namespace sluice::snapshot
