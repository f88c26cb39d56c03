#include "control/compile.h"

#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "control/binding.h"
#include "control/draft.h"
#include "control/listener_compiler.h"
#include "control/load.h"
#include "control/redact.h"
#include "control/route_compiler.h"
#include "control/section_reader.h"
#include "control/value_reader.h"
#include "control/values.h"

namespace sluice::control {

using snapshot::Snapshot;
using Kind = Node::Kind;

namespace {

void compile_endpoints(UpstreamDraft& draft, Diagnostics& diagnostics) {
  const Node* list = draft.node->find("endpoints");
  const bool is_empty =
      list != nullptr && list->entries.empty() && (list->kind == Kind::list || list->kind == Kind::null);
  if (is_empty) diagnostics.error(list->place, fmt::format("upstream \"{}\" needs at least one endpoint", draft.name));
  std::unordered_map<std::string, Place> taken;
  for (EndpointDraft& endpoint : draft.endpoints) {
    if (endpoint.address == nullptr) continue;
    const Node& node = *endpoint.address;
    const auto address = read_address(node, Type::address, diagnostics);
    if (!address) continue;
    if (address->family() != AF_UNIX && (address->port() == 0 || node.text.starts_with(':'))) {
      diagnostics.error(node.place, fmt::format("\"{}\" cannot be connected to; write {}", shortened(node.text),
                                                row_of(Type::address).written));
    }
    const auto [first, is_new] = taken.emplace(address->to_string(), node.place);
    if (!is_new) {
      diagnostics.error(node.place, fmt::format("{} is already an endpoint of \"{}\", at {}; give it a weight instead",
                                                first->first, draft.name, diagnostics.describe(first->second)));
    }
    endpoint.spec.address = *address;
    endpoint.spec.name = node.text;
    draft.spec.endpoints.push_back(std::move(endpoint.spec));
  }
}

std::vector<snapshot::ClusterSpec> compile_upstreams(std::span<UpstreamDraft> drafts, Diagnostics& diagnostics) {
  std::vector<snapshot::ClusterSpec> clusters;
  for (UpstreamDraft& draft : drafts) {
    draft.spec.name = draft.name;
    compile_endpoints(draft, diagnostics);
    if (draft.spec.retry.on_timeout && draft.spec.retry.per_try.count() == 0) {
      diagnostics.warning(draft.name_place,
                          fmt::format("upstream \"{}\": retry.on has \"timeout\", which never happens "
                                      "without retry.per_try",
                                      draft.name));
    }
    clusters.push_back(std::move(draft.spec));
  }
  return clusters;
}

// What must not be empty, and what is useless though it is not wrong.
void check_whole(const Node& root, const Draft& draft, const std::vector<bool>& used, Diagnostics& diagnostics) {
  const Entry* listeners = root.find_entry("listeners");
  if (listeners != nullptr && listeners->value->entries.empty()) {
    diagnostics.error(listeners->key_place, "at least one listener is needed");
  }
  const Node* process = root.find("process");
  if (process != nullptr && draft.process.user.empty() && !draft.process.group.empty()) {
    diagnostics.error(process->find("group")->place, "process.group is used with process.user only");
  }
  for (size_t i = 0; i < draft.upstreams.size(); ++i) {
    const UpstreamDraft& upstream = draft.upstreams[i];
    if (!used[i])
      diagnostics.warning(upstream.name_place, fmt::format("no route uses the upstream \"{}\"", upstream.name));
  }
  if (draft.routes.empty()) diagnostics.warning(root.place, "there are no routes: every request will be answered 404");
}

std::shared_ptr<const Snapshot> compile_tree(Node& root, const Tree& tree, Diagnostics& diagnostics,
                                             snapshot::AdminSpec& admin) {
  Draft draft;
  draft.process.workers = usable_cpus();
  SectionReader reader(tree, diagnostics);
  reader.read(Section::root, root, &draft, &bind::kTypeTag<Draft>);
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->process = draft.process;
  snapshot->access_log = std::move(draft.access_log);
  snapshot->trusted_proxies = std::move(draft.trusted_proxies);
  ListenerCompiler listeners(diagnostics);
  snapshot->listeners = listeners.compile(draft.listeners);
  snapshot->admin = admin = listeners.compile(draft.admin);
  snapshot->clusters = compile_upstreams(draft.upstreams, diagnostics);
  RouteCompiler routes(draft.upstreams, reader, diagnostics);
  snapshot->routes = routes.compile(draft.routes);
  check_whole(root, draft, routes.used_upstreams(), diagnostics);
  if (diagnostics.error_count() > 0) return nullptr;
  snapshot->route_table = snapshot::RouteTable::build(snapshot->routes);
  snapshot->redacted_yaml = redacted_yaml(root, tree);
  return snapshot;
}

template <typename Load>
CompileResult compile(Load&& load) {
  Tree tree;
  Diagnostics diagnostics;
  CompileResult result;
  if (Node* root = load(tree, diagnostics)) result.snapshot = compile_tree(*root, tree, diagnostics, result.admin);
  result.errors = diagnostics.errors();
  // With errors, what seems useless may be in use by what is wrong.
  if (result.errors.empty()) result.warnings = diagnostics.warnings();
  return result;
}

}  // namespace

CompileResult compile_file(const std::string& path) {
  return compile([&](Tree& tree, Diagnostics& diagnostics) { return load_file(path, tree, diagnostics); });
}

CompileResult compile_text(std::string_view yaml, std::string_view name) {
  return compile([&](Tree& tree, Diagnostics& diagnostics) { return load_text(yaml, name, tree, diagnostics); });
}

}  // namespace sluice::control
