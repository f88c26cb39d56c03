// The schema: every key of the configuration is one row of data here (its table is schema.cc). From these
// rows come the reader (section_reader.h), docs/configuration.md and config/sluice.schema.json
// (documentation.h), and "did you mean". To add a key, add a row; nothing else looks at key names. Immutable,
// any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "snapshot/spec.h"

namespace sluice::control {

class SectionReader;
struct Node;

/// Each kind of map with fixed keys.
enum class Section : uint8_t {
  root,
  process,
  dns,
  admin,
  access_log,
  listener,
  listener_limits,
  listener_timeouts,
  listener_tls,
  certificate,
  upstream,
  endpoint,
  pool,
  upstream_timeouts,
  retry,
  client_tls,
  store,
  route,
  match,
  split,
  respond,
  redirect,
  static_files,
  rewrite,
  headers,
  header_edits,
  route_limits,
  plugin,
  kCount
};

enum class Type : uint8_t {
  boolean,
  integer,
  workers,
  duration,
  size,
  share,
  text,
  choice,
  log_format,
  name,
  file,
  file_name,
  log_path,
  absolute_path,
  folder,
  glob,
  listen_address,
  admin_address,
  address,
  host_and_port,
  dns_server,
  network,
  host,
  pattern,
  prefix,
  method,
  retry_on,
  condition,
  header_name,
  text_template,
  upstream_name,
  plugin_name,
  module_name,
  plugin_config,
  section,  // a map with the keys of Row::child
  kCount
};

/// How a type is named and explained to a user.
struct TypeRow {
  Type type;
  std::string_view name;     // "duration"
  std::string_view written;  // follows "write ...": "250ms, 5s or 1m30s"; empty if there is nothing to add
  std::string_view json;     // its JSON schema, without ranges and choices
};
const TypeRow& row_of(Type type);

/// Is the value one of the type, a list of them, or a map from names (of the user's choice) to them?
enum class Shape : uint8_t { one, list, map };

enum class Presence : uint8_t {
  optional,
  required,
  later,  // planned: refused as "not supported yet"
};

/// For integer (a number), size (bytes) and duration (milliseconds). Not checked if max is 0.
struct Range {
  uint64_t min = 0;
  uint64_t max = 0;
  bool or_zero = false;  // 0 is allowed beside min..max, and means none
};

struct Choice {
  std::string_view name;
  uint8_t value;
  Presence presence = Presence::optional;
};

struct Row;

/// How a row's value gets into the draft (draft.h) that its section fills; made by the templates of
/// binding.h.
struct Binding {
  void (*read)(SectionReader& reader, const Row& row, Node& node, void* owner) = nullptr;
  /// The value as a user would write it; null where the type has no such form.
  std::string (*show)(const Row& row, const void* owner) = nullptr;
  const void* owner = nullptr;  // identifies the owner's C++ type
};

struct Row {
  Section section = Section::root;
  std::string_view key;
  Type type = Type::section;
  Shape shape = Shape::one;
  Section child = Section::root;  // for Type::section
  Presence presence = Presence::optional;
  std::string_view fallback;  // what holds if the key is absent, as a user would write it; empty: nothing
  Range range;
  std::span<const Choice> choices;
  bool secret = false;  // never printed: not in error texts, not in /config
  std::string_view help;
  Binding binding;
};

/// The C++ type that a section fills.
struct OwnerType {
  const void* tag = nullptr;
  std::shared_ptr<void> (*make)() = nullptr;  // one with its defaults, for tests and documentation
};

struct SectionRow {
  Section section;
  std::string_view path;       // where it stands: "listeners.<name>.limits"
  std::string_view shorthand;  // key that a bare scalar stands for; empty: none
  std::string_view help;
  OwnerType owner;
};

const SectionRow& row_of(Section section);
/// The rows of one section, in the order of the table.
std::span<const Row> rows_of(Section section);
const Row* find_row(Section section, std::string_view key);

/// The keys of a route of which exactly one must be given.
struct ActionRow {
  std::string_view key;
  snapshot::Action action;
};
std::span<const ActionRow> route_actions();

/// "1 to 1000000", "1ms to 24h, or 0"; empty if there is none.
std::string range_text(const Row& row);
/// "p2c, round_robin, random or least_request"; without those of later work.
std::string choices_text(std::span<const Choice> choices);

}  // namespace sluice::control
