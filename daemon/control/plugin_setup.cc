#include "control/plugin_setup.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "control/load.h"
#include "control/values.h"
#include "filter/host.h"

namespace sluice::control {

using Kind = Node::Kind;

namespace {

constexpr size_t kMaxPluginFile = size_t{16} << 20;

std::string_view text_of(sluice_str text) { return {text.data, text.size}; }
sluice_str to_abi(std::string_view text) { return {text.data(), text.size()}; }

const Node* to_node(const sluice_node* node) { return reinterpret_cast<const Node*>(node); }
const sluice_node* to_abi(const Node* node) { return reinterpret_cast<const sluice_node*>(node); }

bool is_figure_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

uint32_t index_of(std::vector<std::string>& names, std::string_view name) {
  const auto known = std::find(names.begin(), names.end(), name);
  const auto index = static_cast<uint32_t>(known - names.begin());
  if (known == names.end()) names.emplace_back(name);
  return index;
}

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

struct PluginSetup::Functions {
  static PluginSetup& of(sluice_setup* handle) { return *static_cast<PluginSetup*>(handle); }

  static sluice_node_kind kind(sluice_setup*, const sluice_node* node) {
    switch (to_node(node)->kind) {
      case Kind::list: return SLUICE_NODE_LIST;
      case Kind::map: return SLUICE_NODE_MAP;
      default: return SLUICE_NODE_SCALAR;
    }
  }

  static const sluice_node* child(sluice_setup* handle, const sluice_node* raw, sluice_str key) {
    PluginSetup& self = of(handle);
    const Node* map = to_node(raw);
    if (map == nullptr || map->kind == Kind::null || map->kind == Kind::broken) return nullptr;
    if (map->kind != Kind::map) {
      self.refuse(*map, fmt::format("a map is expected, not {}", what_it_is(*map)));
      return nullptr;
    }
    std::vector<std::string>& asked = self.asked_[map];
    if (std::find(asked.begin(), asked.end(), text_of(key)) == asked.end()) asked.emplace_back(text_of(key));
    const Node* found = map->find(text_of(key));
    if (found == nullptr || found->kind == Kind::broken) return nullptr;
    self.key_of_.emplace(found, text_of(key));
    return to_abi(found);
  }

  static size_t count(sluice_setup*, const sluice_node* node) {
    return node == nullptr ? 0 : to_node(node)->entries.size();
  }

  static const sluice_node* entry(sluice_setup* handle, const sluice_node* node, size_t index, sluice_str* key) {
    const Entry& found = to_node(node)->entries[index];
    if (key != nullptr) *key = to_abi(found.key);
    if (!found.key.empty()) {
      of(handle).key_of_.emplace(found.value, found.key);
      of(handle).asked_[to_node(node)].emplace_back(found.key);
    }
    return to_abi(found.value);
  }

  static int text(sluice_setup* handle, const sluice_node* node, sluice_str* out) {
    if (!of(handle).expect_scalar(node, "a text")) return 0;
    *out = to_abi(to_node(node)->text);
    return 1;
  }

  static int boolean(sluice_setup* handle, const sluice_node* node, int* out) {
    PluginSetup& self = of(handle);
    if (!self.expect_scalar(node, "true or false")) return 0;
    const std::string_view text = to_node(node)->text;
    if (text != "true" && text != "false") return self.refuse_value(node, "a boolean; write true or false");
    *out = text == "true" ? 1 : 0;
    return 1;
  }

  static int integer(sluice_setup* handle, const sluice_node* node, int64_t min, int64_t max, int64_t* out) {
    PluginSetup& self = of(handle);
    if (!self.expect_scalar(node, "a whole number")) return 0;
    const auto value = parse_integer(to_node(node)->text);
    if (!value) return self.refuse_value(node, "a whole number");
    if (*value < min || *value > max) return self.refuse_value(node, fmt::format("between {} and {}", min, max));
    *out = *value;
    return 1;
  }

  static int number(sluice_setup* handle, const sluice_node* node, double min, double max, double* out) {
    PluginSetup& self = of(handle);
    if (!self.expect_scalar(node, "a number")) return 0;
    std::string_view text = to_node(node)->text;
    const bool percent = text.ends_with('%');
    if (percent) text.remove_suffix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      return self.refuse_value(node, "a number; write 0.05 or 5%");
    if (percent) value /= 100;
    if (!(value >= min && value <= max)) return self.refuse_value(node, fmt::format("between {} and {}", min, max));
    *out = value;
    return 1;
  }

  static int duration(sluice_setup* handle, const sluice_node* node, uint64_t min_ms, uint64_t max_ms,
                      uint64_t* out_ms) {
    PluginSetup& self = of(handle);
    if (!self.expect_scalar(node, "a duration")) return 0;
    const auto value = parse_duration(to_node(node)->text);
    if (!value) return self.refuse_value(node, "a duration; write 250ms, 5s or 1m30s");
    const auto millis = static_cast<uint64_t>(value->count());
    if (millis < min_ms || millis > max_ms) {
      return self.refuse_value(
          node, fmt::format("between {} and {}", format_duration(Millis(min_ms)), format_duration(Millis(max_ms))));
    }
    *out_ms = millis;
    return 1;
  }

  static int size(sluice_setup* handle, const sluice_node* node, uint64_t min, uint64_t max, uint64_t* out_bytes) {
    PluginSetup& self = of(handle);
    if (!self.expect_scalar(node, "a size")) return 0;
    const auto value = parse_size(to_node(node)->text);
    if (!value) return self.refuse_value(node, "a size; write 512B, 64KiB or 10MiB");
    if (*value < min || *value > max) {
      return self.refuse_value(node, fmt::format("between {} and {}", format_size(min), format_size(max)));
    }
    *out_bytes = *value;
    return 1;
  }

  static int file(sluice_setup* handle, const sluice_node* node, sluice_str* content) {
    PluginSetup& self = of(handle);
    if (!self.expect_scalar(node, "the path of a file")) return 0;
    const Node& named = *to_node(node);
    filter::Instance::File file{resolve_path(self.diagnostics_, named), {}};
    std::string error;
    self.sources_.add(file.path);
    if (!read_whole_file(file.path, kMaxPluginFile, true, file.content, error)) {
      self.refuse(named, fmt::format("cannot read {}: {}", file.path, error));
      return 0;
    }
    self.made_.files.push_back(std::make_unique<filter::Instance::File>(std::move(file)));
    *content = to_abi(self.made_.files.back()->content);
    return 1;
  }

  static uint32_t store(sluice_setup* handle, const sluice_node* node) {
    PluginSetup& self = of(handle);
    const std::vector<std::string>& known = self.known_.stores;
    if (node != nullptr) return self.choose(node, "store", known, self.made_.stores);
    if (known.size() == 1) return index_of(self.made_.stores, known.front());
    if (std::find(known.begin(), known.end(), "default") != known.end()) return index_of(self.made_.stores, "default");
    const std::string what =
        known.empty() ? "add one under \"stores\""
                      : fmt::format("name one of {} as \"store\", or call one default", fmt::join(known, ", "));
    self.diagnostics_.error(self.place_, fmt::format("plugin \"{}\" needs a store: {}", self.made_.name, what));
    return SLUICE_NONE;
  }

  static uint32_t upstream(sluice_setup* handle, const sluice_node* node) {
    PluginSetup& self = of(handle);
    return self.choose(node, "upstream", self.known_.upstreams, self.made_.upstreams);
  }

  static uint32_t counter(sluice_setup* handle, sluice_str name) {
    return is_figure_name(text_of(name)) ? index_of(of(handle).made_.counters, text_of(name)) : SLUICE_NONE;
  }

  static uint32_t histogram(sluice_setup* handle, sluice_str name) {
    return is_figure_name(text_of(name)) ? index_of(of(handle).made_.histograms, text_of(name)) : SLUICE_NONE;
  }

  static void drop_trailers(sluice_setup* handle, sluice_str prefix) {
    index_of(of(handle).made_.dropped_trailers, text_of(prefix));
  }

  static void error(sluice_setup* handle, const sluice_node* node, sluice_str message) {
    PluginSetup& self = of(handle);
    if (node != nullptr) return self.refuse(*to_node(node), std::string(text_of(message)));
    self.diagnostics_.error(self.place_, fmt::format("plugin \"{}\": {}", self.made_.name, text_of(message)));
  }

  static void warning(sluice_setup* handle, const sluice_node* node, sluice_str message) {
    PluginSetup& self = of(handle);
    const Place place = node != nullptr ? to_node(node)->place : self.place_;
    self.diagnostics_.warning(place, fmt::format("plugin \"{}\": {}", self.made_.name, text_of(message)));
  }
};

PluginSetup::PluginSetup(filter::Instance& made, const Node* config, Place place, const KnownNames& known,
                         Diagnostics& diagnostics, SourceFiles& sources)
    : sluice_setup{.struct_size = sizeof(sluice_setup),
                   .host = &filter::host_table(),
                   .instance = to_abi(made.name),
                   .root = to_abi(config),
                   .kind = Functions::kind,
                   .child = Functions::child,
                   .count = Functions::count,
                   .entry = Functions::entry,
                   .text = Functions::text,
                   .boolean = Functions::boolean,
                   .integer = Functions::integer,
                   .number = Functions::number,
                   .duration = Functions::duration,
                   .size = Functions::size,
                   .file = Functions::file,
                   .store = Functions::store,
                   .counter = Functions::counter,
                   .histogram = Functions::histogram,
                   .error = Functions::error,
                   .warning = Functions::warning,
                   .upstream = Functions::upstream,
                   .drop_trailers = Functions::drop_trailers},
      made_(made),
      place_(place),
      known_(known),
      diagnostics_(diagnostics),
      sources_(sources) {}

bool PluginSetup::expect_scalar(const sluice_node* raw, std::string_view what) {
  const Node& node = *to_node(raw);
  if (node.kind == Kind::scalar) return true;
  if (node.kind != Kind::broken) refuse(node, fmt::format("{} is expected, not {}", what, what_it_is(node)));
  return false;
}

uint32_t PluginSetup::choose(const sluice_node* raw, std::string_view what, const std::vector<std::string>& known,
                             std::vector<std::string>& asked) {
  if (!expect_scalar(raw, fmt::format("the name of {} {}", what == "upstream" ? "an" : "a", what))) return SLUICE_NONE;
  const std::string_view name = to_node(raw)->text;
  if (std::find(known.begin(), known.end(), name) != known.end()) return index_of(asked, name);
  Suggestion suggestion(name);
  for (const std::string& each : known) suggestion.consider(each);
  refuse(*to_node(raw), fmt::format("there is no {} \"{}\"{}", what, shortened(name), suggestion.text()));
  return SLUICE_NONE;
}

void PluginSetup::refuse(const Node& node, std::string message) {
  const auto key = key_of_.find(&node);
  if (key != key_of_.end()) message = fmt::format("{}: {}", key->second, message);
  diagnostics_.error(node.place, std::move(message));
}

// What a variable holds may be a secret.
int PluginSetup::refuse_value(const sluice_node* raw, std::string_view right) {
  const Node& node = *to_node(raw);
  const std::string shown =
      node.from_environment ? "the variable's value" : fmt::format("\"{}\"", shortened(node.text));
  refuse(node, fmt::format("{} is not {}", shown, right));
  return 0;
}

void PluginSetup::refuse_unknown_keys() {
  for (const auto& [map, keys] : asked_) {
    for (const Entry& given : map->entries) {
      if (std::find(keys.begin(), keys.end(), given.key) != keys.end()) continue;
      Suggestion suggestion(given.key);
      std::string known;
      for (const std::string& key : keys) {
        suggestion.consider(key);
        known += fmt::format("{}{}", known.empty() ? "" : ", ", key);
      }
      std::string hint = suggestion.text();
      if (hint.empty()) hint = fmt::format("; known here: {}", known);
      diagnostics_.error(given.key_place, fmt::format("unknown key \"{}\"{}", shortened(given.key), hint));
    }
  }
}

}  // namespace sluice::control
