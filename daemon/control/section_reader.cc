#include "control/section_reader.h"

#include "base/assert.h"
#include "base/format.h"
#include "base/strings.h"
#include "control/values.h"

namespace sluice::control {

using Kind = Node::Kind;

namespace {

constexpr size_t kMaxName = 64;

// Where a key that is unknown here would be known: in a section right below.
std::string_view section_that_knows(Section section, std::string_view key) {
  for (const Row& row : rows_of(section)) {
    const bool known = row.type == Type::section && row.shape == Shape::one && row.presence != Presence::later &&
                       find_row(row.child, key) != nullptr;
    if (known) return row.key;
  }
  return {};
}

}  // namespace

void SectionReader::read(Section section, Node& node, void* owner, const void* owner_type) {
  SL_ASSERT(row_of(section).owner.tag == owner_type);
  const SectionRow& self = row_of(section);
  if (node.kind == Kind::broken) return;
  if (node.kind == Kind::scalar && !self.shorthand.empty()) {
    return read_entry(*find_row(section, self.shorthand), {{}, node.place, &node}, owner);
  }
  if (node.kind == Kind::scalar || node.kind == Kind::list) {
    std::string message = fmt::format("a map with keys is expected here, not {}", what_it_is(node));
    return error(node.place, std::move(message));
  }
  const Row* misspelt = nullptr;  // the required key that an unknown one was probably meant to be
  for (const Entry& entry : node.entries) {
    const Row* row = find_row(section, entry.key);
    if (row != nullptr) {
      read_entry(*row, entry, owner);
    } else if (const Row* meant = refuse_unknown(section, entry);
               meant != nullptr && meant->presence == Presence::required) {
      misspelt = meant;
    }
  }
  for (const Row& row : rows_of(section)) {
    if (row.presence == Presence::required && &row != misspelt && node.find(row.key) == nullptr)
      refuse_missing(row, node);
  }
}

void SectionReader::read_entry(const Row& row, const Entry& entry, void* owner) {
  if (row.presence == Presence::later) {
    return error(entry.key_place, fmt::format("\"{}\" is not supported yet by this version of sluice", row.key));
  }
  Node& node = *entry.value;
  if (node.kind == Kind::broken) return;
  node.secret = node.secret || row.secret;
  SL_ASSERT(row.binding.owner == row_of(row.section).owner.tag);
  row.binding.read(*this, row, node, owner);
}

const Row* SectionReader::refuse_unknown(Section section, const Entry& entry) {
  if (diagnostics_.full()) {
    error(entry.key_place, {});
    return nullptr;
  }
  if (entry.key == "<<") {
    error(entry.key_place, "merge keys (\"<<\") are not supported; an alias can stand for a whole value");
    return nullptr;
  }
  Suggestion suggestion(entry.key);
  std::string known;
  for (const Row& row : rows_of(section)) {
    if (row.presence == Presence::later) continue;
    suggestion.consider(row.key);
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.key);
  }
  std::string hint = suggestion.text();
  if (const std::string_view below = section_that_knows(section, entry.key); !below.empty()) {
    hint = fmt::format("; it belongs in \"{}\"", below);
  }
  if (hint.empty()) hint = fmt::format("; known here: {}", known);
  error(entry.key_place, fmt::format("unknown key \"{}\"{}", shortened(entry.key), hint));
  return find_row(section, suggestion.best());
}

void SectionReader::refuse_missing(const Row& row, const Node& node) {
  std::string_view written = row_of(row.type).written;
  if (row.key == "version") written = "version: 1";
  const std::string choices = choices_text(row.choices);
  if (!choices.empty()) written = choices;
  error(node.place, fmt::format("\"{}\" is missing here{}{}", row.key, written.empty() ? "" : "; write ", written));
}

bool SectionReader::expect_scalar(const Row& row, const Node& node) {
  if (node.kind == Kind::scalar) return true;
  if (node.kind == Kind::broken) return false;
  const TypeRow& type = row_of(row.type);
  error(node.place, fmt::format("{}: {} is expected, not {}", row.key, with_article(type.name), what_it_is(node)));
  return false;
}

bool SectionReader::expect_list(const Row& row, const Node& node) {
  if (node.kind == Kind::list || node.kind == Kind::null) return true;
  if (node.kind == Kind::scalar) {
    error(node.place, fmt::format("{0}: a list is expected; write [{1}]", row.key, shortened(tree_.written(node))));
  } else if (node.kind == Kind::map) {
    error(node.place, fmt::format("{}: a list is expected, not a map; begin each element with \"- \"", row.key));
  }
  return false;
}

bool SectionReader::expect_map(const Row& row, const Node& node) {
  if (node.kind == Kind::map || node.kind == Kind::null) return true;
  if (node.kind != Kind::broken) {
    error(node.place, fmt::format("{}: a map is expected, not {}", row.key, what_it_is(node)));
  }
  return false;
}

bool SectionReader::expect_name(const Entry& entry) {
  const std::string_view name = entry.key;
  bool good = !name.empty() && name.size() <= kMaxName;
  for (const char c : name) {
    const char lower = to_lower(c);
    good = good && ((lower >= 'a' && lower <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.');
  }
  if (good) return true;
  error(entry.key_place,
        fmt::format("\"{}\" is not a name: use at most {} letters, digits, and . _ -", shortened(name), kMaxName));
  return false;
}

std::string SectionReader::quoted(const Row& row, const Node& node) const {
  const std::string written = shortened(tree_.written(node));
  if (!node.from_environment || row.secret) return fmt::format("\"{}\"", written);
  return fmt::format("\"{}\" (from {})", shortened(node.text), written);
}

void SectionReader::refuse(const Row& row, const Node& node) {
  const TypeRow& type = row_of(row.type);
  std::string message = fmt::format("{}: {} is not {}", row.key, quoted(row, node), with_article(type.name));
  if (!type.written.empty()) message += fmt::format("; write {}", type.written);
  error(node.place, std::move(message));
}

void SectionReader::refuse(const Row& row, const Node& node, std::string_view why) {
  error(node.place, fmt::format("{}: {} {}", row.key, quoted(row, node), why));
}

bool SectionReader::in_range(const Row& row, const Node& node, uint64_t value) {
  const Range& range = row.range;
  if (range.max == 0 || (value >= range.min && value <= range.max) || (value == 0 && range.or_zero)) return true;
  refuse(row, node, fmt::format("is out of range; it must be {}", range_text(row)));
  return false;
}

const Choice* SectionReader::choose(const Row& row, const Node& node) {
  if (!expect_scalar(row, node)) return nullptr;
  Suggestion suggestion(node.text);
  for (const Choice& choice : row.choices) {
    if (choice.name != node.text) {
      if (choice.presence != Presence::later) suggestion.consider(choice.name);
    } else if (choice.presence == Presence::later) {
      refuse(row, node, "is not supported yet by this version of sluice");
      return nullptr;
    } else {
      return &choice;
    }
  }
  refuse(row, node, fmt::format("is not known; it must be {}{}", choices_text(row.choices), suggestion.text()));
  return nullptr;
}

}  // namespace sluice::control
