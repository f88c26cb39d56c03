#include "control/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <memory>
#include <span>
#include <streambuf>
#include <unordered_map>

#include "base/format.h"
#include "control/environment.h"

namespace sluice::control {

namespace {

constexpr size_t kNodeBytes = 16;  // what a node counts for, beside its text, against YamlLimits::alias_bytes

// Builds the tree from the parser's events. Errors that end the reading are thrown as yaml-cpp's own, so that
// the parser unwinds, and are caught in read_yaml() below.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(uint32_t file, Tree& tree, Diagnostics& diagnostics, const YamlLimits& limits)
      : file_(file), tree_(tree), diagnostics_(diagnostics), limits_(limits) {}

  Node* root() const { return root_; }
  Place place_of(const YAML::Mark& mark) const {
    return {file_, static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_ != nullptr) throw YAML::ParserException(mark, "a second document begins here; only one is read");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (expects_key()) throw YAML::ParserException(mark, "a key is missing here");
    take(add(Node::Kind::null, mark), anchor, kNodeBytes);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::list, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map that is being read.
  struct Level {
    Node* node;
    YAML::anchor_t anchor;
    size_t bytes;
    size_t first_entry;    // its first one of entries_
    bool has_key = false;  // a map's key was read, its value comes next
    std::string_view key;
    Place key_place;
    std::unique_ptr<std::unordered_map<std::string_view, Place>> keys;  // all of a map's keys, once there are many
  };
  static constexpr size_t kFewKeys = 8;
  Node& add(Node::Kind kind, const YAML::Mark& mark);
  void open(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor);
  void close();
  void take(Node& node, YAML::anchor_t anchor, size_t bytes);
  bool expects_key() const {
    return !levels_.empty() && levels_.back().node->kind == Node::Kind::map && !levels_.back().has_key;
  }
  void take_key(const YAML::Mark& mark, const std::string& text);
  void put_in_map(Level& level, Node& value);
  std::span<const Entry> entries_of(const Level& level) const { return std::span(entries_).subspan(level.first_entry); }
  const Place* find_key(Level& level) const;

  uint32_t file_;
  Tree& tree_;
  Diagnostics& diagnostics_;
  const YamlLimits& limits_;
  Node* root_ = nullptr;
  std::vector<Level> levels_;
  std::vector<Entry> entries_;  // of all levels_, until each is complete and its number of entries known
  struct Anchored {
    Node* node;
    size_t bytes;
  };
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
  size_t alias_bytes_ = 0;
};

Node& TreeBuilder::add(Node::Kind kind, const YAML::Mark& mark) {
  if (tree_.size() >= limits_.nodes) {
    throw YAML::ParserException(mark, fmt::format("the configuration has more than {} values", limits_.nodes));
  }
  return tree_.add(kind, place_of(mark));
}

void TreeBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                           const std::string& value) {
  if (expects_key()) return take_key(mark, value);
  Node& node = add(Node::Kind::scalar, mark);
  node.quoted = tag == "!";
  if (value.find("${") == std::string::npos) {
    node.text = tree_.keep(value);
  } else {
    Substitution result = substitute_environment(value);
    if (!result.error.empty()) {
      diagnostics_.error(node.place, std::move(result.error));
      node.kind = Node::Kind::broken;
    }
    node.text = tree_.keep(result.text);
    node.from_environment = result.changed;
    tree_.keep_written(node, value);
  }
  take(node, anchor, kNodeBytes + node.text.size());
}

void TreeBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  if (expects_key()) throw YAML::ParserException(mark, "an alias cannot be a key here");
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end()) throw YAML::ParserException(mark, "this alias stands inside of what it names");
  alias_bytes_ += found->second.bytes;
  if (alias_bytes_ > limits_.alias_bytes) {
    throw YAML::ParserException(mark, "the aliases of this file stand for too much; write it out or make it smaller");
  }
  take(*found->second.node, YAML::NullAnchor, found->second.bytes);
}

void TreeBuilder::open(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
  if (expects_key()) throw YAML::ParserException(mark, "a key must be a plain word");
  if (levels_.size() >= limits_.depth) {
    throw YAML::ParserException(mark, fmt::format("more than {} levels deep", limits_.depth));
  }
  levels_.push_back({&add(kind, mark), anchor, kNodeBytes, entries_.size(), false, {}, {}, {}});
}

void TreeBuilder::close() {
  const Level level = std::move(levels_.back());
  levels_.pop_back();
  level.node->entries.assign(entries_.begin() + static_cast<ptrdiff_t>(level.first_entry), entries_.end());
  entries_.resize(level.first_entry);
  take(*level.node, level.anchor, level.bytes);
}

// A complete value: to the list or map that is open, or the root.
void TreeBuilder::take(Node& node, YAML::anchor_t anchor, size_t bytes) {
  if (anchor != YAML::NullAnchor) anchors_[anchor] = {&node, bytes};
  if (levels_.empty()) {
    root_ = &node;
    return;
  }
  Level& level = levels_.back();
  level.bytes += bytes;
  if (level.node->kind == Node::Kind::list) {
    entries_.push_back({{}, node.place, &node});
  } else {
    put_in_map(level, node);
  }
}

void TreeBuilder::take_key(const YAML::Mark& mark, const std::string& text) {
  Level& level = levels_.back();
  level.has_key = true;
  level.key = tree_.keep(text);
  level.key_place = place_of(mark);
  level.bytes += text.size();
}

// Where the open map's current key was given before; nullptr if it is new.
const Place* TreeBuilder::find_key(Level& level) const {
  const std::span<const Entry> entries = entries_of(level);
  if (entries.size() < kFewKeys) {
    for (const Entry& entry : entries) {
      if (entry.key == level.key) return &entry.key_place;
    }
    return nullptr;
  }
  if (level.keys == nullptr) {
    level.keys = std::make_unique<std::unordered_map<std::string_view, Place>>();
    for (const Entry& entry : entries) level.keys->emplace(entry.key, entry.key_place);
  }
  const auto [found, is_new] = level.keys->emplace(level.key, level.key_place);
  return is_new ? nullptr : &found->second;
}

void TreeBuilder::put_in_map(Level& level, Node& value) {
  level.has_key = false;
  if (value.kind == Node::Kind::null) value.place = level.key_place;  // yaml-cpp's place is the next token's
  if (const Place* first = find_key(level)) {
    diagnostics_.error(level.key_place, fmt::format("\"{}\" is given twice; first in line {}", level.key, first->line));
    return;
  }
  entries_.push_back({level.key, level.key_place, &value});
}

// A stream over text that is there already; a stringstream would copy it.
class TextStream : private std::streambuf, public std::istream {
 public:
  explicit TextStream(std::string_view text) : std::istream(static_cast<std::streambuf*>(this)) {
    char* begin = const_cast<char*>(text.data());  // is only read from
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

Node* read_yaml(uint32_t file, Tree& tree, Diagnostics& diagnostics, const YamlLimits& limits) {
  TreeBuilder builder(file, tree, diagnostics, limits);
  try {
    TextStream stream(diagnostics.text(file));
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& exception) {
    const Place place = builder.place_of(exception.mark);
    std::string message = "not valid YAML: " + exception.msg;
    if (diagnostics.source_line(place).find('\t') != std::string_view::npos) {
      message += "; indent with spaces, never with tabs";
    }
    diagnostics.error(place, std::move(message));
    return nullptr;
  }
  return builder.root() != nullptr ? builder.root() : &tree.add(Node::Kind::null, {file, 1, 1});
}

}  // namespace sluice::control
