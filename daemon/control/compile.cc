#include "control/compile.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "control/binding.h"
#include "control/client_tls_compiler.h"
#include "control/draft.h"
#include "control/listener_compiler.h"
#include "control/load.h"
#include "control/plugin_compiler.h"
#include "control/redact.h"
#include "control/route_compiler.h"
#include "control/section_reader.h"
#include "control/store_compiler.h"
#include "control/value_reader.h"
#include "control/values.h"

namespace sluice::control {

using snapshot::Snapshot;
using Kind = Node::Kind;

namespace {

// Exactly one of `address` and `dns`; false, and reported, if not.
bool check_keys(const EndpointDraft& endpoint, Diagnostics& diagnostics) {
  if ((endpoint.address != nullptr) != (endpoint.dns != nullptr)) return true;
  const Node& node = *endpoint.node;
  // What else is there has been refused: a misspelt key, or a value of the wrong kind.
  const bool empty =
      std::all_of(node.entries.begin(), node.entries.end(), [](const Entry& e) { return e.key == "weight"; });
  if (endpoint.address != nullptr) {
    diagnostics.error(endpoint.dns->place, "an endpoint has either \"address\" or \"dns\", not both");
  } else if (empty && (node.kind == Kind::map || node.kind == Kind::null)) {
    diagnostics.error(node.place, fmt::format("\"address\" is missing here; write {}", row_of(Type::address).written));
  }
  return false;
}

void compile_endpoints(UpstreamDraft& draft, ClientTlsCompiler& tls, Diagnostics& diagnostics) {
  const Node* list = draft.node->find("endpoints");
  const bool is_empty =
      list != nullptr && list->entries.empty() && (list->kind == Kind::list || list->kind == Kind::null);
  if (is_empty) diagnostics.error(list->place, fmt::format("upstream \"{}\" needs at least one endpoint", draft.name));
  std::unordered_map<std::string, Place> taken;
  for (EndpointDraft& endpoint : draft.endpoints) {
    const Node* node = endpoint.address != nullptr ? endpoint.address : endpoint.dns;
    if (!check_keys(endpoint, diagnostics)) continue;
    const Type type = endpoint.dns != nullptr ? Type::host_and_port : Type::address;
    if (!read_endpoint(*node, type, endpoint.spec, diagnostics)) continue;
    const snapshot::EndpointSpec& spec = endpoint.spec;
    const std::string place = place_of(spec);
    const auto [first, is_new] = taken.emplace(place, node->place);
    if (!is_new) {
      diagnostics.error(node->place, fmt::format("{} is already an endpoint of \"{}\", at {}; give it a weight instead",
                                                 place, draft.name, diagnostics.describe(first->second)));
    }
    if (draft.spec.tls && spec.host.empty() && spec.address.family() == AF_UNIX) tls.refuse_unix(node->place);
    draft.spec.endpoints.push_back(std::move(endpoint.spec));
  }
}

// By ALPN, best first.
std::vector<std::string> offered_by(snapshot::Protocol protocol) {
  switch (protocol) {
    case snapshot::Protocol::http1: return {"http/1.1"};
    case snapshot::Protocol::http2: return {"h2"};
    case snapshot::Protocol::automatic: return {"h2", "http/1.1"};
  }
  return {};
}

std::vector<snapshot::ClusterSpec> compile_upstreams(std::span<UpstreamDraft> drafts, ClientTlsCompiler& tls,
                                                     Diagnostics& diagnostics) {
  std::vector<snapshot::ClusterSpec> clusters;
  for (UpstreamDraft& draft : drafts) {
    draft.spec.name = draft.name;
    draft.spec.tls = tls.compile(draft.tls, draft.node->find("tls"), offered_by(draft.spec.protocol));
    compile_endpoints(draft, tls, diagnostics);
    if (draft.spec.protocol != snapshot::Protocol::http1 && draft.spec.proxy_protocol != http::ProxyVersion::off) {
      diagnostics.error(
          draft.node->find("protocol")->place,
          "connections of HTTP/2 carry the requests of many clients, and a PROXY protocol header tells of one: "
          "with `proxy_protocol` the protocol must be http1");
    }
    if (draft.spec.protocol == snapshot::Protocol::automatic && !draft.spec.tls) {
      diagnostics.error(
          draft.node->find("protocol")->place,
          "\"auto\" asks the endpoint by ALPN, which is a part of TLS: add `tls: {}`, or say http1 or http2");
    }
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
void check_whole(const Node& root, const Draft& draft, const Snapshot& snapshot, const std::vector<bool>& used,
                 const std::vector<bool>& used_plugins, Diagnostics& diagnostics) {
  const Entry* listeners = root.find_entry("listeners");
  if (listeners != nullptr && listeners->value->entries.empty()) {
    diagnostics.error(listeners->key_place, "at least one listener is needed");
  }
  const Node* process = root.find("process");
  if (process != nullptr && draft.process.user.empty() && !draft.process.group.empty()) {
    diagnostics.error(process->find("group")->place, "process.group is used with process.user only");
  }
  const auto plugin_asks = [&](const std::string& upstream) {
    return std::any_of(snapshot.plugins.begin(), snapshot.plugins.end(), [&](const snapshot::PluginSpec& plugin) {
      const filter::Instance* instance = plugin.instance.get();
      return instance != nullptr &&
             std::find(instance->upstreams.begin(), instance->upstreams.end(), upstream) != instance->upstreams.end();
    });
  };
  for (size_t i = 0; i < draft.upstreams.size(); ++i) {
    const UpstreamDraft& upstream = draft.upstreams[i];
    if (!used[i] && !plugin_asks(upstream.name))
      diagnostics.warning(upstream.name_place,
                          fmt::format("no route and no plugin uses the upstream \"{}\"", upstream.name));
  }
  for (size_t i = 0; i < draft.plugins.size(); ++i) {
    const PluginDraft& plugin = draft.plugins[i];
    if (!used_plugins[i])
      diagnostics.warning(plugin.name_place, fmt::format("no listener or route uses the plugin \"{}\"", plugin.name));
  }
  if (draft.routes.empty()) diagnostics.warning(root.place, "there are no routes: every request will be answered 404");
}

void check_dns(const Node& root, const snapshot::DnsSpec& dns, Diagnostics& diagnostics) {
  if (dns.min_ttl <= dns.max_ttl) return;
  const Node* process = root.find("process");
  const Node* section = process == nullptr ? nullptr : process->find("dns");
  diagnostics.error(section == nullptr ? root.place : section->place,
                    fmt::format("dns: min_ttl ({}) is longer than max_ttl ({})", format_duration(dns.min_ttl),
                                format_duration(dns.max_ttl)));
}

// Where the modules are if nobody says it: beside the binary in a build, below its prefix (/usr, /usr/local) where it is installed.
std::string usual_plugin_dir() {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto beside = folder / "plugins";
  const auto installed = folder.parent_path() / "lib/sluice/plugins";
  return std::filesystem::is_directory(beside, error) ? beside.string() : installed.string();
}

std::shared_ptr<const Snapshot> compile_tree(Node& root, const Tree& tree, const Snapshot* running,
                                             Diagnostics& diagnostics, CompileResult& result) {
  Draft draft;
  draft.process.workers = usable_cpus();
  SectionReader reader(tree, diagnostics);
  reader.read(Section::root, root, &draft, &bind::kTypeTag<Draft>);
  auto snapshot = std::make_shared<Snapshot>();
  check_dns(root, draft.process.dns, diagnostics);
  snapshot->process = draft.process;
  snapshot->access_log = std::move(draft.access_log);
  snapshot->trusted_proxies = std::move(draft.trusted_proxies);
  ListenerCompiler listeners(running, diagnostics, result.sources, result.certificates);
  snapshot->listeners = listeners.compile(draft.listeners);
  snapshot->admin = result.admin = listeners.compile(draft.admin);
  ClientTlsCompiler tls(diagnostics, result.certificates);
  snapshot->clusters = compile_upstreams(draft.upstreams, tls, diagnostics);
  snapshot->stores = compile_stores(draft.stores, tls, diagnostics, result.sources);
  const std::string& plugin_dir = draft.process.plugin_dir;
  PluginCompiler plugins(plugin_dir.empty() ? usual_plugin_dir() : plugin_dir, running, diagnostics, result.sources);
  KnownNames known;
  for (const snapshot::StoreSpec& store : snapshot->stores) known.stores.push_back(store.name);
  for (const snapshot::ClusterSpec& cluster : snapshot->clusters) known.upstreams.push_back(cluster.name);
  snapshot->plugins = plugins.compile(draft.plugins, known);
  for (size_t i = 0; i < draft.listeners.size(); ++i) {
    snapshot->listeners[i].plugins = plugins.find(draft.listeners[i].plugins);
  }
  RouteCompiler routes(draft.upstreams, plugins, reader, diagnostics, result.sources);
  snapshot->routes = routes.compile(draft.routes);
  check_whole(root, draft, *snapshot, routes.used_upstreams(), plugins.used(), diagnostics);
  if (diagnostics.error_count() > 0) return nullptr;
  snapshot->route_table = snapshot::RouteTable::build(snapshot->routes);
  snapshot->redacted_yaml = redacted_yaml(root, tree);
  return snapshot;
}

template <typename Load>
CompileResult compile(Load&& load, const Snapshot* running) {
  Tree tree;
  Diagnostics diagnostics;
  CompileResult result;
  if (Node* root = load(tree, diagnostics, result.sources)) {
    result.snapshot = compile_tree(*root, tree, running, diagnostics, result);
  }
  result.errors = diagnostics.errors();
  // With errors, what seems useless may be in use by what is wrong.
  if (result.errors.empty()) result.warnings = diagnostics.warnings();
  return result;
}

}  // namespace

CompileResult compile_file(const std::string& path, const Snapshot* running) {
  return compile([&](Tree& tree, Diagnostics& diagnostics,
                     SourceFiles& sources) { return load_file(path, tree, diagnostics, sources); },
                 running);
}

CompileResult compile_text(std::string_view yaml, std::string_view name) {
  return compile(
      [&](Tree& tree, Diagnostics& diagnostics, SourceFiles&) { return load_text(yaml, name, tree, diagnostics); },
      nullptr);
}

}  // namespace sluice::control
