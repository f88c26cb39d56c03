#include "control/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <unordered_map>

#include "base/format.h"
#include "control/yaml_reader.h"

namespace sluice::control {

namespace {

using Kind = Node::Kind;

// Where an include was written, or the start of the main file.
struct Origin {
  Place place;
  bool from_include = false;
};

class Loader {
 public:
  Loader(Tree& tree, Diagnostics& diagnostics, SourceFiles& sources)
      : tree_(tree), diagnostics_(diagnostics), sources_(sources) {}

  Node* load(const std::string& path, const Origin& origin);

 private:
  bool enter(const std::string& path, const Origin& origin);
  bool load_includes(Node& root, const std::string& path);
  bool load_pattern(Node& root, const std::string& folder, const Node& pattern);
  void merge(Node& into, const Node& from);
  void merge_value(Entry& into, const Entry& from);
  void merge_maps(Node& into, const Entry& from);
  Node* own(Node* value);
  void fail(const std::string& path, const Origin& origin, const std::string& why);

  Tree& tree_;
  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::vector<std::string> seen_;   // canonical paths of all files read
  std::vector<std::string> stack_;  // those being read, outermost first
};

void Loader::fail(const std::string& path, const Origin& origin, const std::string& why) {
  if (origin.from_include) return diagnostics_.error(origin.place, fmt::format("cannot include {}: {}", path, why));
  diagnostics_.error({diagnostics_.add_file(path, {}), 0, 0}, fmt::format("cannot read the configuration: {}", why));
}

// Refuses a file that is being read already, or was.
bool Loader::enter(const std::string& path, const Origin& origin) {
  std::error_code ignored;
  std::string canonical = std::filesystem::weakly_canonical(path, ignored).string();
  if (canonical.empty()) canonical = path;
  const auto in = [&](const std::vector<std::string>& paths) {
    return std::find(paths.begin(), paths.end(), canonical) != paths.end();
  };
  if (in(stack_)) return fail(path, origin, "it includes itself"), false;
  if (in(seen_)) return fail(path, origin, "it was included before"), false;
  if (stack_.size() > kMaxIncludeDepth) {
    return fail(path, origin, fmt::format("includes are nested more than {} deep", kMaxIncludeDepth)), false;
  }
  seen_.push_back(canonical);
  stack_.push_back(std::move(canonical));
  return true;
}

Node* Loader::load(const std::string& path, const Origin& origin) {
  if (!enter(path, origin)) return nullptr;
  sources_.add(path);
  std::string text;
  std::string error;
  Node* root = nullptr;
  if (!read_whole_file(path, kMaxFileBytes, origin.from_include, text, error)) {
    fail(path, origin, error);
  } else {
    root = read_yaml(diagnostics_.add_file(path, std::move(text)), tree_, diagnostics_);
    if (root != nullptr && root->kind == Kind::map && !load_includes(*root, path)) root = nullptr;
  }
  stack_.pop_back();
  return root;
}

bool Loader::load_includes(Node& root, const std::string& path) {
  const Node* include = root.find("include");
  if (include == nullptr) return true;
  for (Entry& entry : root.entries) entry.value = own(entry.value);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (include->kind == Kind::scalar) return load_pattern(root, folder, *include);
  if (include->kind != Kind::list) return true;  // the schema says what is wrong with it
  bool ok = true;
  for (const Entry& entry : include->entries) {
    if (entry.value->kind == Kind::scalar) ok = load_pattern(root, folder, *entry.value) && ok;
  }
  return ok;
}

bool Loader::load_pattern(Node& root, const std::string& folder, const Node& pattern) {
  const std::string full = (std::filesystem::path(folder) / pattern.text).string();
  const Origin origin{pattern.place, true};
  if (full.find_first_of("*?[") == std::string::npos) {
    const Node* included = load(full, origin);
    if (included != nullptr) merge(root, *included);
    return included != nullptr;
  }
  const std::vector<std::string>& matches = sources_.add_pattern(full);
  if (matches.empty()) diagnostics_.warning(pattern.place, fmt::format("no file matches {}", full));
  bool ok = true;
  for (const std::string& match : matches) {
    const Node* included = load(match, origin);
    if (included != nullptr) merge(root, *included);
    ok = ok && included != nullptr;
  }
  return ok;
}

// A list or map may be shared through aliases; what is merged into must not be.
Node* Loader::own(Node* value) {
  if (value->kind != Kind::list && value->kind != Kind::map) return value;
  Node& copy = tree_.add(value->kind, value->place);
  copy = *value;
  return &copy;
}

void Loader::merge(Node& into, const Node& from) {
  if (from.kind == Kind::null) return;  // an empty file
  if (from.kind != Kind::map) {
    return diagnostics_.error(from.place, "an included file holds top-level keys, such as \"routes:\"");
  }
  for (const Entry& entry : from.entries) {
    if (entry.key == "include") continue;  // already done
    Entry* existing = nullptr;
    for (Entry& candidate : into.entries) {
      if (candidate.key == entry.key) existing = &candidate;
    }
    if (existing != nullptr) {
      merge_value(*existing, entry);
      continue;
    }
    into.entries.push_back({entry.key, entry.key_place, own(entry.value)});
  }
}

void Loader::merge_value(Entry& into, const Entry& from) {
  Node& target = *into.value;
  const Node& source = *from.value;
  if (source.kind == Kind::null || source.kind == Kind::broken || target.kind == Kind::broken) return;
  if (target.kind == Kind::null) {
    into.value = own(from.value);
  } else if (target.kind == Kind::list && source.kind == Kind::list) {
    target.entries.insert(target.entries.end(), source.entries.begin(), source.entries.end());
  } else if (target.kind == Kind::map && source.kind == Kind::map) {
    merge_maps(target, from);
  } else if (from.key != "version" || target.text != source.text) {  // each file may say its version
    diagnostics_.error(from.key_place,
                       fmt::format("\"{}\" is already given at {}", from.key, diagnostics_.describe(into.key_place)));
  }
}

void Loader::merge_maps(Node& into, const Entry& from) {
  std::unordered_map<std::string_view, Place> known;  // views into entries that must not move before all is looked up
  for (const Entry& entry : into.entries) known.emplace(entry.key, entry.key_place);
  const std::span<const Entry> added = from.value->entries;
  std::vector<const Entry*> fresh;
  for (const Entry& entry : added) {
    const auto found = known.find(entry.key);
    if (found == known.end()) {
      fresh.push_back(&entry);
    } else {
      diagnostics_.error(entry.key_place, fmt::format("\"{}\" in \"{}\" is already given at {}", entry.key, from.key,
                                                      diagnostics_.describe(found->second)));
    }
  }
  for (const Entry* entry : fresh) into.entries.push_back(*entry);
}

}  // namespace

Node* load_file(const std::string& path, Tree& tree, Diagnostics& diagnostics, SourceFiles& sources) {
  return Loader(tree, diagnostics, sources).load(path, {});
}

Node* load_text(std::string_view yaml, std::string_view name, Tree& tree, Diagnostics& diagnostics) {
  Node* root = read_yaml(diagnostics.add_file(std::string(name), std::string(yaml)), tree, diagnostics);
  if (root == nullptr || root->kind != Kind::map) return root;
  for (const Entry& entry : root->entries) {
    if (entry.key == "include") diagnostics.error(entry.key_place, "\"include\" is possible only in a file");
  }
  return root;
}

std::string resolve_path(const Diagnostics& diagnostics, const Node& node) {
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::path(diagnostics.name(node.place.file)).parent_path();
  const std::filesystem::path absolute = std::filesystem::absolute(folder / node.text, ignored);
  return absolute.lexically_normal().string();
}

bool read_whole_file(const std::string& path, size_t max_bytes, bool regular_only, std::string& text,
                     std::string& error) {
  const auto fail = [&](const char* why) {
    error = why;
    return false;
  };
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };
  // O_NONBLOCK: opening a FIFO that nobody writes to must not hang; it changes nothing for regular files.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | (regular_only ? O_NONBLOCK : 0))};
  struct stat status {};
  if (file.number < 0 || ::fstat(file.number, &status) != 0) return fail(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) return fail("it is a directory");
  if (regular_only && !S_ISREG(status.st_mode)) return fail("it is not a regular file");
  char block[65536];
  for (;;) {
    const ssize_t count = ::read(file.number, block, sizeof(block));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(std::strerror(errno));
    if (count == 0) return true;
    text.append(block, static_cast<size_t>(count));
    if (text.size() > max_bytes) return fail("it is too large");
  }
}

bool read_named_file(const Node* file, std::string_view key, std::string& content, Diagnostics& diagnostics,
                     SourceFiles& sources) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  if (file == nullptr) return true;
  const std::string path = resolve_path(diagnostics, *file);
  std::string error;
  sources.add(path);
  if (read_whole_file(path, kMaxBytes, true, content, error)) return true;
  diagnostics.error(file->place, fmt::format("{}: cannot read {}: {}", key, path, error));
  return false;
}

bool read_secret_file(const Node& file, std::string_view key, std::string& secret, Diagnostics& diagnostics,
                      SourceFiles& sources) {
  constexpr size_t kMaxSecretBytes = 4096;
  const std::string path = resolve_path(diagnostics, file);
  std::string error;
  sources.add(path);
  if (!read_whole_file(path, kMaxSecretBytes, true, secret, error)) {
    diagnostics.error(file.place, fmt::format("{}: cannot read {}: {}", key, path, error));
    return false;
  }
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  return true;
}

}  // namespace sluice::control
