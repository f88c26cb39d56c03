#include "control/plugin_compiler.h"

#include <algorithm>

#include "base/format.h"
#include "control/load.h"
#include "control/values.h"
#include "filter/chain.h"

namespace sluice::control {

using filter::Instance;
using filter::Module;

namespace {

// A tree as a text that is the same for the same configuration only.
void write_tree(const Node* node, std::string& out) {
  if (node == nullptr) {
    out += '-';
    return;
  }
  out += fmt::format("{}{}:{}[", static_cast<int>(node->kind), node->text.size(), node->text);
  for (const Entry& entry : node->entries) {
    out += fmt::format("{}:{}=", entry.key.size(), entry.key);
    write_tree(entry.value, out);
  }
  out += ']';
}

bool has_same_content(const Instance::File& file) {
  std::string now, error;
  return read_whole_file(file.path, file.content.size() + 1, true, now, error) && now == file.content;
}

}  // namespace

PluginCompiler::PluginCompiler(const std::string& folder, const snapshot::Snapshot* running, Diagnostics& diagnostics,
                               SourceFiles& sources)
    : folder_(folder), running_(running), diagnostics_(diagnostics), sources_(sources) {}

std::vector<snapshot::PluginSpec> PluginCompiler::compile(std::span<const PluginDraft> drafts,
                                                          const KnownNames& known) {
  std::vector<snapshot::PluginSpec> plugins;
  for (const PluginDraft& draft : drafts) {
    index_.emplace(draft.name, static_cast<uint32_t>(plugins.size()));
    snapshot::PluginSpec& spec = plugins.emplace_back();
    spec.name = draft.name;
    if (draft.module == nullptr) continue;  // reported
    spec.module = draft.module->text;
    spec.instance = compile(draft, known);
  }
  used_.resize(plugins.size());
  return plugins;
}

std::shared_ptr<const Instance> PluginCompiler::compile(const PluginDraft& draft, const KnownNames& known) {
  std::string written;
  write_tree(draft.config, written);
  if (auto kept = unchanged(draft, written, known)) return kept;
  std::shared_ptr<const Module> module = load(*draft.module);
  if (module == nullptr) return nullptr;
  auto instance = std::make_shared<Instance>(std::move(module));
  instance->name = draft.name;
  instance->written = std::move(written);
  const Node* config = draft.config;
  if (config != nullptr && (config->kind == Node::Kind::null || config->kind == Node::Kind::broken)) config = nullptr;
  const sluice_plugin& plugin = instance->module->plugin();
  if (plugin.configure == nullptr) {
    if (config == nullptr) return instance;
    diagnostics_.error(config->place,
                       fmt::format("config: the module \"{}\" takes no configuration", draft.module->text));
    return nullptr;
  }
  if (config != nullptr && config->kind != Node::Kind::map) {
    diagnostics_.error(config->place, "config: a map with keys is expected here");
    return nullptr;
  }
  const size_t errors_before = diagnostics_.error_count();
  PluginSetup setup(*instance, config, draft.name_place, known, diagnostics_, sources_);
  instance->config = plugin.configure(setup.handle());
  setup.refuse_unknown_keys();
  const bool said_why = diagnostics_.error_count() > errors_before;
  if (instance->config == nullptr && !said_why) {
    diagnostics_.error(draft.name_place,
                       fmt::format("plugin \"{}\" refused its configuration and did not say why", draft.name));
  }
  return said_why ? nullptr : instance;
}

std::shared_ptr<const Instance> PluginCompiler::unchanged(const PluginDraft& draft, const std::string& written,
                                                          const KnownNames& known) const {
  if (running_ == nullptr) return nullptr;
  const auto& plugins = running_->plugins;
  const auto before = std::find_if(plugins.begin(), plugins.end(), [&](const auto& p) { return p.name == draft.name; });
  if (before == plugins.end() || before->module != draft.module->text) return nullptr;
  const Instance& instance = *before->instance;
  const auto all_in = [](const std::vector<std::string>& names, const std::vector<std::string>& all) {
    return std::all_of(names.begin(), names.end(),
                       [&](const std::string& name) { return std::find(all.begin(), all.end(), name) != all.end(); });
  };
  const bool same = instance.written == written &&
                    instance.module->file() == filter::FileIdentity::of(Module::path_of(folder_, before->module)) &&
                    all_in(instance.stores, known.stores) && all_in(instance.upstreams, known.upstreams) &&
                    std::all_of(instance.files.begin(), instance.files.end(),
                                [](const auto& file) { return has_same_content(*file); });
  if (!same) return nullptr;
  for (const auto& file : instance.files) sources_.add(file->path);
  return before->instance;
}

std::shared_ptr<const Module> PluginCompiler::load(const Node& name) {
  const auto known = modules_.find(std::string(name.text));
  if (known != modules_.end()) return known->second;
  std::string error;
  std::shared_ptr<const Module> module = Module::load(folder_, name.text, error);
  if (module == nullptr) {
    Suggestion suggestion(name.text);
    std::string all;
    for (const std::string& each : Module::names_in(folder_)) {
      suggestion.consider(each);
      all += fmt::format("{}{}", all.empty() ? "" : ", ", each);
    }
    std::string hint = suggestion.text();
    if (hint.empty() && !all.empty()) hint = fmt::format("; there are {}", all);
    diagnostics_.error(name.place, fmt::format("module: {}{}", error, hint));
    return nullptr;
  }
  modules_.emplace(name.text, module);
  return module;
}

std::vector<uint32_t> PluginCompiler::find(std::span<Node* const> names) {
  std::vector<uint32_t> indices;
  for (const Node* node : names) {
    const auto found = index_.find(node->text);
    if (found == index_.end()) {
      Suggestion suggestion(node->text);
      for (const auto& [name, index] : index_) suggestion.consider(name);
      std::string hint = suggestion.text();
      const std::vector<std::string> modules = Module::names_in(folder_);
      if (std::find(modules.begin(), modules.end(), node->text) != modules.end())
        hint = fmt::format("; there is a module of that name: write \"{0}: {{module: {0}}}\" under \"plugins\"",
                           node->text);
      diagnostics_.error(node->place, fmt::format("there is no plugin \"{}\"{}", shortened(node->text), hint));
    } else if (std::find(indices.begin(), indices.end(), found->second) != indices.end()) {
      diagnostics_.error(node->place, fmt::format("plugin \"{}\" stands in this list already", shortened(node->text)));
    } else {
      used_[found->second] = true;
      indices.push_back(found->second);
    }
  }
  constexpr size_t kMaxInList = filter::kMaxFilters / 2;  // a listener's and a route's make one chain
  if (indices.size() > kMaxInList) {
    diagnostics_.error(names.front()->place,
                       fmt::format("plugins: {} in one list; {} are the most", indices.size(), kMaxInList));
  }
  return indices;
}

}  // namespace sluice::control
