#include "control/yaml_reader.h"

#include <yaml.h>

#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <unordered_map>

#include "base/format.h"
#include "control/environment.h"

namespace sluice::control {

namespace {

constexpr size_t kNodeBytes = 16;  // what a node counts for, beside its text, against YamlLimits::alias_bytes
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct Parser {
  explicit Parser(std::string_view text) {
    if (yaml_parser_initialize(&raw) == 0) throw std::bad_alloc();
    yaml_parser_set_encoding(&raw, YAML_UTF8_ENCODING);  // else UTF-16 would be read, and its places are none of ours
    yaml_parser_set_input_string(&raw, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~Parser() { yaml_parser_delete(&raw); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  yaml_parser_t raw;
};

struct Event {
  Event() = default;
  ~Event() { yaml_event_delete(&raw); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  yaml_event_t raw{};
};

std::string_view text_of(const unsigned char* name) {
  return name == nullptr ? std::string_view() : reinterpret_cast<const char*>(name);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool is_null(std::string_view plain) {
  return plain.empty() || plain == "~" || plain == "null" || plain == "Null" || plain == "NULL";
}

// Where the character of some number stands: libyaml counts characters, a Place counts bytes, and no end of line but
// \n. It reads the text once, since the parser's events come in the text's order.
class Places {
 public:
  Places(uint32_t file, std::string_view text) : file_(file), text_(text) {}

  Place of(const yaml_mark_t& mark) {
    advance(mark.index);
    return {file_, line_, static_cast<uint32_t>(offset_ - line_begin_ + 1)};
  }
  Place of_byte(size_t offset) const;
  /// The text from there on.
  std::string_view rest(const yaml_mark_t& mark) {
    advance(mark.index);
    return text_.substr(offset_);
  }

 private:
  void advance(size_t index);

  uint32_t file_;
  std::string_view text_;
  size_t index_ = 0;
  size_t offset_ = 0;  // of the character number index_
  size_t line_begin_ = 0;
  uint32_t line_ = 1;
};

void Places::advance(size_t index) {
  if (index < index_) *this = Places(file_, text_);  // only what a syntax error tells goes back
  const auto is_continuation_byte = [&] { return (static_cast<unsigned char>(text_[offset_]) & 0xc0) == 0x80; };
  for (; index_ < index && offset_ < text_.size(); ++index_) {
    if (text_[offset_++] == '\n') {
      ++line_;
      line_begin_ = offset_;
    }
    while (offset_ < text_.size() && is_continuation_byte()) ++offset_;
  }
}

Place Places::of_byte(size_t offset) const {
  const std::string_view before = text_.substr(0, offset);
  const size_t line_begin = before.rfind('\n') + 1;  // 0 if there is none
  return {file_, static_cast<uint32_t>(1 + std::count(before.begin(), before.end(), '\n')),
          static_cast<uint32_t>(before.size() - line_begin + 1)};
}

// What libyaml finds wrong, in our words. The first row counts of which both parts are in what libyaml says.
struct Wording {
  std::string_view context;
  std::string_view problem;
  bool at_context;  // the place to show is where the context begins
  std::string_view message;
};

constexpr Wording kWordings[] = {
    {"quoted scalar", "end of stream", true, "this quote is never closed"},
    {"quoted scalar", "document indicator", true, "this quote is not closed in its document"},
    {"quoted scalar", "", false, "an unknown escape; write \\\\ for a backslash, or use single quotes"},
    {"", "tab character", false, "a tab cannot stand here"},
    {"block scalar", "", false, "after \"|\" or \">\" only \"+\", \"-\" and an indentation from 1 to 9 can stand"},
    {"anchor", "", false, "letters, digits, \"-\" and \"_\" can follow \"&\"; a text that begins with it needs quotes"},
    {"alias", "", false, "letters, digits, \"-\" and \"_\" can follow \"*\"; a text that begins with it needs quotes"},
    {"directive", "", false, "a directive (\"%\") that is not known; leave it out"},
    {"", "%YAML", false, "%YAML is given twice"},
    {"", "%TAG", false, "%TAG is given twice for the same tag"},
    {"", "incompatible", false, "this version of YAML is not known; leave the line out"},
    {"tag", "", false, "not a tag; a text that begins with \"!\" needs quotes"},
    {"", "undefined tag", false, "not a tag; a text that begins with \"!\" needs quotes"},
    {"", "expected ':'", true, "a \":\" is missing behind this key"},
    {"", "mapping values", false, "a \":\" cannot stand here; check the indentation, or put the text in quotes"},
    {"", "mapping keys", false, "a \"?\" cannot stand here; check the indentation, or put the text in quotes"},
    {"", "block sequence", false, "a list item (\"- \") cannot begin here; check the indentation, or begin a new line"},
    {"", "',' or ']'", false, "a \",\" or \"]\" is missing here"},
    {"", "',' or '}'", false, "a \",\" or \"}\" is missing here"},
    {"", "expected key", false,
     "a key cannot begin here; check the indentation, and that no text goes on after a closing quote or bracket"},
    {"", "'-' indicator", false, "a list item (\"- \") is expected here; check the indentation"},
    {"", "<document start>", false, "a second document begins here; only one is read"},
    {"", "node content", false, "a value is missing here"},
};

// Builds the tree from the parser's events. An error of syntax, or a limit, ends the reading.
class TreeBuilder {
 public:
  TreeBuilder(uint32_t file, std::string_view text, Tree& tree, Diagnostics& diagnostics, const YamlLimits& limits)
      : tree_(tree), diagnostics_(diagnostics), limits_(limits), places_(file, text) {}

  /// False after an error that ended it.
  bool read(yaml_parser_t& parser);
  Node* root() const { return root_; }

 private:
  // A list or map that is being read.
  struct Level {
    Node* node;
    std::string_view anchor;
    size_t bytes;
    size_t first_entry;    // its first one of entries_
    bool has_key = false;  // a map's key was read, its value comes next
    std::string_view key;
    Place key_place;
    std::unique_ptr<std::unordered_map<std::string_view, Place>> keys;  // all of a map's keys, once there are many
  };
  struct Anchored {
    Node* node;  // nullptr while it is being read
    size_t bytes;
  };
  static constexpr size_t kFewKeys = 8;

  void on_event(const yaml_event_t& event);
  void on_scalar(const yaml_event_t& event);
  void on_alias(const yaml_event_t& event);
  void open(Node::Kind kind, const yaml_event_t& event, const unsigned char* anchor);
  void close();
  Node* add(Node::Kind kind, Place place);
  void take(Node& node, std::string_view anchor, size_t bytes);
  bool expects_key() const {
    return !levels_.empty() && levels_.back().node->kind == Node::Kind::map && !levels_.back().has_key;
  }
  void take_key(Place place, std::string_view text);
  void put_in_map(Level& level, Node& value);
  std::span<const Entry> entries_of(const Level& level) const { return std::span(entries_).subspan(level.first_entry); }
  const Place* find_key(Level& level) const;

  void fail(Place place, std::string_view message);
  void fail_reading(const yaml_parser_t& parser);
  void fail_parsing(const yaml_parser_t& parser);
  std::string explain(const yaml_parser_t& parser, const Wording* wording);

  Tree& tree_;
  Diagnostics& diagnostics_;
  const YamlLimits& limits_;
  Places places_;
  Node* root_ = nullptr;
  bool failed_ = false;
  std::vector<Level> levels_;
  std::vector<Entry> entries_;  // of all levels_, until each is complete and its number of entries known
  std::unordered_map<std::string_view, Anchored> anchors_;
  size_t alias_bytes_ = 0;
};

bool TreeBuilder::read(yaml_parser_t& parser) {
  while (!failed_) {
    Event event;
    if (yaml_parser_parse(&parser, &event.raw) == 0) {
      if (parser.error == YAML_MEMORY_ERROR) throw std::bad_alloc();
      parser.error == YAML_READER_ERROR ? fail_reading(parser) : fail_parsing(parser);
    } else if (event.raw.type == YAML_STREAM_END_EVENT) {
      return true;
    } else {
      on_event(event.raw);
    }
  }
  return false;
}

void TreeBuilder::on_event(const yaml_event_t& event) {
  switch (event.type) {
    case YAML_DOCUMENT_START_EVENT:
      if (root_ != nullptr) fail(places_.of(event.start_mark), "a second document begins here; only one is read");
      return;
    case YAML_SCALAR_EVENT: return on_scalar(event);
    case YAML_ALIAS_EVENT: return on_alias(event);
    case YAML_SEQUENCE_START_EVENT: return open(Node::Kind::list, event, event.data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT: return open(Node::Kind::map, event, event.data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return close();
    default: return;  // the stream's start, the document's end
  }
}

void TreeBuilder::on_scalar(const yaml_event_t& event) {
  const auto& scalar = event.data.scalar;
  const std::string_view value(reinterpret_cast<const char*>(scalar.value), scalar.length);
  const std::string_view tag = text_of(scalar.tag);
  const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
  const bool null = plain && tag.empty() && is_null(value);
  const Place place = places_.of(event.start_mark);
  if (expects_key()) return null ? fail(place, "a key is missing here") : take_key(place, value);
  Node* node = add(null ? Node::Kind::null : Node::Kind::scalar, place);
  if (node == nullptr) return;
  if (null) return take(*node, tree_.keep(text_of(scalar.anchor)), kNodeBytes);
  node->quoted = tag.empty() ? !plain : tag == "!";
  if (!contains(value, "${")) {
    node->text = tree_.keep(value);
  } else {
    Substitution result = substitute_environment(value);
    if (!result.error.empty()) {
      diagnostics_.error(node->place, std::move(result.error));
      node->kind = Node::Kind::broken;
    }
    node->text = tree_.keep(result.text);
    node->from_environment = result.changed;
    tree_.keep_written(*node, std::string(value));
  }
  take(*node, tree_.keep(text_of(scalar.anchor)), kNodeBytes + node->text.size());
}

void TreeBuilder::on_alias(const yaml_event_t& event) {
  const Place place = places_.of(event.start_mark);
  if (expects_key()) return fail(place, "an alias cannot be a key here");
  const std::string_view name = text_of(event.data.alias.anchor);
  const auto found = anchors_.find(name);
  if (found == anchors_.end())
    return fail(place, fmt::format("no value before this alias has the anchor \"&{}\"", name));
  const Anchored& anchored = found->second;
  if (anchored.node == nullptr) return fail(place, "this alias stands inside of what it names");
  alias_bytes_ += anchored.bytes;
  if (alias_bytes_ > limits_.alias_bytes) {
    return fail(place, "the aliases of this file stand for too much; write it out or make it smaller");
  }
  take(*anchored.node, {}, anchored.bytes);
}

void TreeBuilder::open(Node::Kind kind, const yaml_event_t& event, const unsigned char* anchor) {
  const Place place = places_.of(event.start_mark);
  if (expects_key()) return fail(place, "a key must be a plain word");
  if (levels_.size() >= limits_.depth) return fail(place, fmt::format("more than {} levels deep", limits_.depth));
  Node* node = add(kind, place);
  if (node == nullptr) return;
  const std::string_view name = tree_.keep(text_of(anchor));
  if (!name.empty()) anchors_[name] = {nullptr, 0};
  levels_.push_back({node, name, kNodeBytes, entries_.size(), false, {}, {}, {}});
}

void TreeBuilder::close() {
  const Level level = std::move(levels_.back());
  levels_.pop_back();
  level.node->entries.assign(entries_.begin() + static_cast<ptrdiff_t>(level.first_entry), entries_.end());
  entries_.resize(level.first_entry);
  take(*level.node, level.anchor, level.bytes);
}

// nullptr if there are too many.
Node* TreeBuilder::add(Node::Kind kind, Place place) {
  if (tree_.size() < limits_.nodes) return &tree_.add(kind, place);
  fail(place, fmt::format("the configuration has more than {} values", limits_.nodes));
  return nullptr;
}

// A complete value: to the list or map that is open, or the root.
void TreeBuilder::take(Node& node, std::string_view anchor, size_t bytes) {
  if (!anchor.empty()) anchors_[anchor] = {&node, bytes};
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

void TreeBuilder::take_key(Place place, std::string_view text) {
  Level& level = levels_.back();
  level.has_key = true;
  level.key = tree_.keep(text);
  level.key_place = place;
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
  if (value.kind == Node::Kind::null) value.place = level.key_place;  // mostly nothing is written in its own place
  if (const Place* first = find_key(level)) {
    diagnostics_.error(level.key_place, fmt::format("\"{}\" is given twice; first in line {}", level.key, first->line));
    return;
  }
  entries_.push_back({level.key, level.key_place, &value});
}

void TreeBuilder::fail(Place place, std::string_view message) {
  diagnostics_.error(place, fmt::format("not valid YAML: {}", message));
  failed_ = true;
}

// Bytes that are not characters, or characters that YAML does not allow.
void TreeBuilder::fail_reading(const yaml_parser_t& parser) {
  const Place place = places_.of_byte(parser.problem_offset);
  if (!contains(parser.problem, "control characters")) return fail(place, "the file is not UTF-8 here");
  const int character = parser.problem_value;
  fail(place, fmt::format("the character U+{0:04X} cannot stand here; in double quotes write \\u{0:04X}", character));
}

void TreeBuilder::fail_parsing(const yaml_parser_t& parser) {
  const std::string_view context = parser.context == nullptr ? "" : parser.context;
  const auto* const wording = std::find_if(std::begin(kWordings), std::end(kWordings), [&](const Wording& row) {
    return contains(context, row.context) && contains(parser.problem, row.problem);
  });
  const bool known = wording != std::end(kWordings);
  std::string message = explain(parser, known ? wording : nullptr);
  const Place place = places_.of(known && wording->at_context ? parser.context_mark : parser.problem_mark);
  if (contains(diagnostics_.source_line(place), "\t")) message += "; indent with spaces, never with tabs";
  fail(place, message);
}

// What a table of libyaml's words cannot tell: it needs the character that stands there, or which bracket is open.
std::string TreeBuilder::explain(const yaml_parser_t& parser, const Wording* wording) {
  const std::string_view problem = parser.problem;
  const std::string_view rest = places_.rest(parser.problem_mark);
  const char here = rest.empty() ? '\0' : rest.front();
  const bool in_brackets = parser.context != nullptr && contains(parser.context, "parsing a flow");
  if (in_brackets && !levels_.empty()) {
    const uint32_t line = levels_.back().node->place.line;
    if (rest.empty()) return fmt::format("the bracket that opens in line {} is never closed", line);
    if (contains(problem, "',' or")) return fmt::format("{}; the bracket opens in line {}", wording->message, line);
  }
  if (contains(problem, "cannot start any token")) {
    return here == '\t' ? "a tab cannot stand here" : fmt::format("a text that begins with \"{}\" needs quotes", here);
  }
  if (here == ':' && (contains(problem, "expected key") || contains(problem, "node content"))) {
    return "a key is missing here";
  }
  if (!in_brackets && parser.error == YAML_PARSER_ERROR && (here == ']' || here == '}')) {
    return fmt::format("no bracket is open that this \"{}\" could close", here);
  }
  return std::string(wording != nullptr ? wording->message : problem);
}

}  // namespace

Node* read_yaml(uint32_t file, Tree& tree, Diagnostics& diagnostics, const YamlLimits& limits) {
  std::string_view text = diagnostics.text(file);
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) text.remove_prefix(kByteOrderMark.size());
  TreeBuilder builder(file, text, tree, diagnostics, limits);
  Parser parser(text);
  if (!builder.read(parser.raw)) return nullptr;
  return builder.root() != nullptr ? builder.root() : &tree.add(Node::Kind::null, {file, 1, 1});
}

}  // namespace sluice::control
