#include "control/redact.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/strings.h"

namespace sluice::control {

namespace {

constexpr std::string_view kHidden = "<hidden>";

bool carries_credentials(std::string_view key) {
  constexpr std::string_view kWords[] = {"authorization", "cookie", "token", "secret", "password", "key", "credential"};
  std::string lower;
  for (const char c : key) lower += to_lower(c);
  if (lower.ends_with("_file") || lower.ends_with("_files")) return false;  // names a secret's place, which is none
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

// Can the text stand in YAML as it is, and mean the same text?
bool is_plain(std::string_view text) {
  static constexpr auto kSafe = [] {
    std::array<bool, 256> safe{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")) {
      safe[static_cast<unsigned char>(c)] = true;
    }
    return safe;
  }();
  return !text.empty() && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) { return kSafe[static_cast<unsigned char>(c)]; });
}

class Writer {
 public:
  explicit Writer(const Tree& tree) : tree_(tree) {}

  // `column`: how far the lines of a list or map are indented. `secret`: below a row that is marked so.
  void write(const Node& node, std::string_view key, size_t column, bool secret);
  std::string take() { return std::move(out_); }

 private:
  void write_list(const Node& node, std::string_view key, size_t column, bool secret);
  void write_map(const Node& node, std::string_view key, size_t column, bool secret);
  void write_scalar(const Node& node, std::string_view key, bool secret);
  void write_text(std::string_view text, bool quoted);
  void start_line(size_t column);

  const Tree& tree_;
  std::string out_;
  bool line_is_open_ = true;  // what comes next begins on this line: the first of all, and what follows "- "
};

void Writer::start_line(size_t column) {
  if (!line_is_open_) {
    out_ += '\n';
    out_.append(column, ' ');
  }
  line_is_open_ = false;
}

void Writer::write(const Node& node, std::string_view key, size_t column, bool secret) {
  secret = secret || node.secret;
  switch (node.kind) {
    case Node::Kind::list: return write_list(node, key, column, secret);
    case Node::Kind::map: return write_map(node, key, column, secret);
    case Node::Kind::scalar: return write_scalar(node, key, secret);
    case Node::Kind::null:
    case Node::Kind::broken: out_ += "null";
  }
}

void Writer::write_list(const Node& node, std::string_view key, size_t column, bool secret) {
  if (node.entries.empty()) out_ += "[]";
  for (const Entry& entry : node.entries) {
    start_line(column);
    out_ += "- ";
    line_is_open_ = !entry.value->entries.empty();
    write(*entry.value, key, column + 2, secret);
  }
}

// All below a key of credentials is one: `passwords: {alice: ...}`.
void Writer::write_map(const Node& node, std::string_view key, size_t column, bool secret) {
  const bool all_hidden = secret && carries_credentials(key);
  if (node.entries.empty()) out_ += "{}";
  for (const Entry& entry : node.entries) {
    if (column == 0 && entry.key == "include") continue;  // what it named stands here
    start_line(column);
    write_text(entry.key, false);
    out_ += entry.value->entries.empty() ? ": " : ":";
    write(*entry.value, all_hidden ? key : entry.key, column + 2, secret);
  }
}

void Writer::write_scalar(const Node& node, std::string_view key, bool secret) {
  if (node.from_environment) return write_text(tree_.written(node), true);
  if (secret && carries_credentials(key)) return write_text(kHidden, true);
  write_text(node.text, node.quoted);
}

// JSON's quoted strings are YAML's too.
void Writer::write_text(std::string_view text, bool quoted) {
  if (!quoted && is_plain(text)) {
    out_ += text;
    return;
  }
  out_ += '"';
  append_json_escaped(out_, text);
  out_ += '"';
}

}  // namespace

std::string redacted_yaml(const Node& root, const Tree& tree) {
  Writer writer(tree);
  writer.write(root, {}, 0, false);
  std::string text = writer.take();
  text += '\n';
  return text;
}

}  // namespace sluice::control
