#include "control/diff.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/format.h"
#include "base/strings.h"

// redacted_yaml() writes block style only, two columns a level, one scalar a line: that, and no other YAML, is read here.
namespace sluice::control {

namespace {

/// A part of a configuration that has a name of its own: a listener, an upstream, a store, a route, or a whole section.
struct Item {
  std::string title;  // 'route "users"'
  std::string_view text;
  bool is_named = false;  // the text begins with the name, or the "- ", of one of several
};

/// The values of an item by their paths, "pool.max_open".
using Values = std::map<std::string, std::string>;

struct Line {
  size_t column = 0;  // of the key
  std::string_view key;
  std::string_view value;   // empty if a block follows
  bool is_element = false;  // "- " stands before it
};

std::string_view next_line(std::string_view& rest) {
  const size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

// Keys are plain or quoted; a quoted one may hold ": ".
size_t end_of_key(std::string_view text) {
  if (!text.starts_with('"')) return text.find(':');
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return text.substr(i + 1).starts_with(':') ? i + 1 : std::string_view::npos;
    }
  }
  return std::string_view::npos;
}

Line read(std::string_view text) {
  Line line;
  line.column = std::min(text.find_first_not_of(' '), text.size());
  text.remove_prefix(line.column);
  if (text.starts_with("- ")) {
    line.is_element = true;
    line.column += 2;
    text.remove_prefix(2);
  }
  const size_t colon = end_of_key(text);
  if (colon == std::string_view::npos || (colon + 1 < text.size() && text[colon + 1] != ' ')) {
    line.value = text;  // an element that is a scalar
  } else {
    line.key = text.substr(0, colon);
    line.value = trim(text.substr(colon + 1));
  }
  return line;
}

// The lines from `rest` on that are indented by at least `column`; "- " at `column` - 2 ends them.
std::string_view take_block(std::string_view& rest, size_t column) {
  const std::string_view whole = rest;
  while (!rest.empty()) {
    std::string_view after = rest;
    const std::string_view text = next_line(after);
    if (text.find_first_not_of(' ') < column) break;
    rest = after;
  }
  return whole.substr(0, whole.size() - rest.size());
}

std::string_view unquoted(std::string_view text) {
  return text.size() >= 2 && text.front() == '"' && text.back() == '"' ? text.substr(1, text.size() - 2) : text;
}

// What people call a route: its name, else its pattern.
std::string route_title(std::string_view block) {
  std::string_view rest = block, path;
  while (!rest.empty()) {
    const Line line = read(next_line(rest));
    if (line.column == 4 && line.key == "name") return fmt::format("route \"{}\"", unquoted(line.value));
    if (line.key == "path" && path.empty()) path = unquoted(line.value);
  }
  return fmt::format("route \"{}\"", path);
}

void add_items(std::string_view section, std::string_view block, std::vector<Item>& items) {
  if (section != "listeners" && section != "upstreams" && section != "stores" && section != "routes") {
    items.push_back({std::string(section), block});
    return;
  }
  std::unordered_map<std::string, int> times;
  while (!block.empty()) {
    const std::string_view begin = block;
    const Line first = read(next_line(block));
    take_block(block, 4);
    const std::string_view text = begin.substr(0, begin.size() - block.size());
    std::string title = section == "routes"
                            ? route_title(text)
                            : fmt::format("{} \"{}\"", section.substr(0, section.size() - 1), unquoted(first.key));
    if (const int number = ++times[title]; number > 1) title += fmt::format(" #{}", number);
    items.push_back({std::move(title), text, true});
  }
}

std::vector<Item> items_of(std::string_view yaml) {
  std::vector<Item> items;
  while (!yaml.empty()) {
    const std::string_view begin = yaml;
    const std::string_view head = next_line(yaml);
    const Line line = read(head);
    if (!line.value.empty()) {
      items.push_back({std::string(line.key), begin.substr(0, head.size())});
    } else {
      add_items(line.key, take_block(yaml, 2), items);
    }
  }
  return items;
}

// An element of a list is known by its first value, so that one more at the front does not change all the others.
Values values_of(const Item& item) {
  Values values;
  std::string_view text = item.text;
  std::vector<std::pair<size_t, std::string>> path;  // column and key of the blocks that we are in
  const auto path_to = [&](std::string_view key) {
    std::string joined;
    for (size_t i = item.is_named ? 1 : 0; i < path.size(); ++i) {
      joined.append(joined.empty() || path[i].second.starts_with('[') ? "" : ".").append(path[i].second);
    }
    if (!key.empty()) joined.append(joined.empty() ? "" : ".").append(unquoted(key));
    return joined;
  };
  while (!text.empty()) {
    const Line line = read(next_line(text));
    const size_t outer = line.is_element ? line.column - 1 : line.column;
    while (!path.empty() && path.back().first >= outer) path.pop_back();
    if (line.is_element) {
      const std::string_view known_by = line.value.empty() ? line.key : line.value;
      path.emplace_back(line.column - 1, fmt::format("[{}]", unquoted(known_by)));
    }
    if (line.value.empty()) {
      path.emplace_back(line.column, unquoted(line.key));
    } else {
      values[path_to(line.key)] = line.key.empty() ? "" : unquoted(line.value);
    }
  }
  return values;
}

void compare(const Item& before, const Item& now, std::vector<std::string>& sentences) {
  Values old_values = values_of(before);
  const auto told = [&](const std::string& path, std::string_view what) {
    sentences.push_back(path.empty() ? fmt::format("{}: {}", now.title, what)
                                     : fmt::format("{}: {}: {}", now.title, path, what));
  };
  for (const auto& [path, value] : values_of(now)) {
    const auto old = old_values.find(path);
    if (old == old_values.end()) {
      told(path, value.empty() ? "added" : "set to " + value);
    } else {
      if (old->second != value) told(path, old->second + " -> " + value);
      old_values.erase(old);
    }
  }
  for (const auto& [path, value] : old_values)
    told(path, value.empty() ? "removed" : "no longer set (was " + value + ")");
}

std::vector<std::string_view> common_order(const std::vector<Item>& items,
                                           const std::unordered_map<std::string_view, const Item*>& others) {
  std::vector<std::string_view> order;
  for (const Item& item : items) {
    if (item.title.starts_with("route ") && others.contains(item.title)) order.push_back(item.title);
  }
  return order;
}

std::unordered_map<std::string_view, const Item*> by_title(const std::vector<Item>& items) {
  std::unordered_map<std::string_view, const Item*> found;
  for (const Item& item : items) found.emplace(item.title, &item);
  return found;
}

}  // namespace

std::vector<std::string> diff(std::string_view running_yaml, std::string_view next_yaml) {
  if (running_yaml == next_yaml) return {};
  const std::vector<Item> before = items_of(running_yaml);
  const std::vector<Item> now = items_of(next_yaml);
  const auto before_by_title = by_title(before);
  const auto now_by_title = by_title(now);
  std::vector<std::string> sentences;
  for (const Item& item : now) {
    const auto old = before_by_title.find(item.title);
    if (old == before_by_title.end()) {
      sentences.push_back(item.title + ": added");
    } else if (old->second->text != item.text) {
      compare(*old->second, item, sentences);
    }
  }
  for (const Item& item : before) {
    if (!now_by_title.contains(item.title)) sentences.push_back(item.title + ": removed");
  }
  if (common_order(before, now_by_title) != common_order(now, before_by_title)) {
    sentences.emplace_back("routes: their order changed, which decides among equal matches");
  }
  return sentences;
}

namespace {
// What a key names holds something else.
void compare(const std::optional<snapshot::TlsClientSpec>& before, const std::optional<snapshot::TlsClientSpec>& now,
             const std::string& title, std::vector<std::string>& sentences) {
  if (!before || !now) return;
  const auto told = [&](const char* what) { sentences.push_back(fmt::format("{}: tls.{}", title, what)); };
  if (before->ca_pem != now->ca_pem) told("ca_file: it holds other certificates");
  if (before->ca_stamp != now->ca_stamp) told("ca_file: the system trusts others");
  if (before->certificate_pem != now->certificate_pem) told("cert_file: it holds another certificate");
  if (before->key_pem != now->key_pem) told("key_file: it holds another key");
}

template <typename Spec>
std::unordered_map<std::string_view, const Spec*> by_name(const std::vector<Spec>& specs) {
  std::unordered_map<std::string_view, const Spec*> found;
  for (const Spec& spec : specs) found.emplace(spec.name, &spec);
  return found;
}
}  // namespace

std::vector<std::string> changed_contents(const snapshot::Snapshot& running, const snapshot::Snapshot& next) {
  std::vector<std::string> sentences;
  const auto clusters = by_name(running.clusters);
  for (const snapshot::ClusterSpec& now : next.clusters) {
    const auto before = clusters.find(now.name);
    if (before == clusters.end()) continue;
    compare(before->second->tls, now.tls, fmt::format("upstream \"{}\"", now.name), sentences);
  }
  const auto stores = by_name(running.stores);
  for (const snapshot::StoreSpec& now : next.stores) {
    const auto before = stores.find(now.name);
    if (before == stores.end() || before->second->type != now.type) continue;
    const std::string title = fmt::format("store \"{}\"", now.name);
    const snapshot::RedisSpec& redis = before->second->redis;
    if (redis.password != now.redis.password) sentences.push_back(title + ": password_file: it holds another password");
    compare(redis.tls, now.redis.tls, title, sentences);
  }
  return sentences;
}

}  // namespace sluice::control
