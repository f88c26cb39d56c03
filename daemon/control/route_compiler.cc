#include "control/route_compiler.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <variant>

#include "base/format.h"
#include "base/strings.h"
#include "control/binding.h"
#include "control/load.h"
#include "control/plugin_compiler.h"
#include "control/schema.h"
#include "control/values.h"
#include "http/parser.h"
#include "http/uri.h"
#include "snapshot/route_table.h"

namespace sluice::control {

using snapshot::Action;
using snapshot::Template;

namespace {

// What nobody may edit: fields that say where a message ends, that belong to one connection, or that have a
// key of their own.
struct FixedHeader {
  http::HeaderId id;
  std::string_view why;
};
constexpr std::string_view kFraming = "says where the message ends; the gateway sets it";
constexpr std::string_view kHopByHop = "belongs to one connection (RFC 9110 section 7.6.1); the gateway sets it";
constexpr FixedHeader kFixedHeaders[] = {
    {http::HeaderId::content_length, kFraming},
    {http::HeaderId::transfer_encoding, kFraming},
    {http::HeaderId::trailer, kFraming},
    {http::HeaderId::connection, kHopByHop},
    {http::HeaderId::keep_alive, kHopByHop},
    {http::HeaderId::proxy_connection, kHopByHop},
    {http::HeaderId::te, kHopByHop},
    {http::HeaderId::upgrade, kHopByHop},
    {http::HeaderId::http2_settings, kHopByHop},
    {http::HeaderId::early_data, "tells that a request may be a repetition (RFC 8470); the gateway sets it"},
    {http::HeaderId::host, "has a key of its own: use rewrite.host"},
};

constexpr size_t kMaxRouteName = 128;

}  // namespace

RouteCompiler::RouteCompiler(std::span<const UpstreamDraft> upstreams, PluginCompiler& plugins, SectionReader& reader,
                             Diagnostics& diagnostics, SourceFiles& sources)
    : upstreams_(upstreams),
      plugins_(plugins),
      reader_(reader),
      diagnostics_(diagnostics),
      sources_(sources),
      used_(upstreams.size()) {
  for (uint32_t i = 0; i < upstreams.size(); ++i) upstream_index_.emplace(upstreams[i].name, i);
}

std::vector<snapshot::RouteSpec> RouteCompiler::compile(std::span<Node* const> nodes) {
  std::vector<RouteSpec> routes;
  std::vector<const Node*> names;
  routes.reserve(nodes.size());
  names.reserve(nodes.size());
  for (Node* node : nodes) {
    RouteDraft draft;
    draft.node = node;
    reader_.read(Section::route, *node, &draft, &bind::kTypeTag<RouteDraft>);
    compile_route(draft);
    routes.push_back(std::move(draft.spec));
    names.push_back(draft.name);
  }
  name_routes(names, routes);
  return routes;
}

void RouteCompiler::name_routes(std::span<const Node* const> given, std::span<RouteSpec> routes) {
  std::unordered_map<std::string_view, const Node*> taken;
  taken.reserve(routes.size());
  for (size_t i = 0; i < routes.size(); ++i) {
    if (given[i] == nullptr) continue;
    const std::string_view name = given[i]->text;
    if (name.empty() || name.size() > kMaxRouteName || !is_printable(name)) {
      diagnostics_.error(given[i]->place, fmt::format("name: {}", row_of(Type::name).written));
    }
    const auto [first, is_new] = taken.emplace(name, given[i]);
    if (!is_new) {
      diagnostics_.error(given[i]->place, fmt::format("name: \"{}\" is already the name of the route at {}",
                                                      shortened(name), diagnostics_.describe(first->second->place)));
    }
    routes[i].name = name;
  }
  std::unordered_map<std::string_view, uint32_t> count;
  for (size_t i = 0; i < routes.size(); ++i) {
    const std::string& pattern = routes[i].match.path;
    if (given[i] != nullptr || pattern.empty()) continue;
    do {
      const uint32_t number = ++count[pattern];
      routes[i].name = number == 1 ? pattern : fmt::format("{} #{}", pattern, number);
    } while (!taken.emplace(routes[i].name, nullptr).second);
  }
}

void RouteCompiler::compile_route(RouteDraft& draft) {
  RouteSpec& route = draft.spec;
  route.source = diagnostics_.describe(draft.node->place);
  if (draft.node->kind != Node::Kind::map) return;  // reported already
  compile_pattern(draft.match, route);
  route.match = std::move(draft.match.spec);
  route.match.path = draft.match.path != nullptr ? draft.match.path->text : std::string();
  compile_action(draft);
  compile_rewrite(draft, route);
  compile_edits(draft.headers.request, route, route.request_headers);
  compile_edits(draft.headers.response, route, route.response_headers);
  route.plugins = plugins_.find(draft.plugins);
  route.has_plugins = !route.plugins.empty();
}

void RouteCompiler::compile_pattern(const MatchDraft& draft, RouteSpec& route) {
  if (draft.path == nullptr) return;
  auto checked = snapshot::check_pattern(draft.path->text);
  if (const auto* error = std::get_if<snapshot::PatternError>(&checked)) {
    diagnostics_.error(place_inside(*draft.path, error->at), fmt::format("path: {}", error->message));
    return;
  }
  route.captures = std::move(std::get<std::vector<std::string>>(checked));
}

void RouteCompiler::compile_action(RouteDraft& draft) {
  const ActionRow* given = nullptr;
  for (const ActionRow& row : route_actions()) {
    const Entry* entry = draft.node->find_entry(row.key);
    if (entry == nullptr) continue;
    if (given != nullptr) {
      diagnostics_.error(entry->key_place,
                         fmt::format("\"{}\" cannot stand beside \"{}\": a route does one thing", row.key, given->key));
    }
    given = &row;
    draft.spec.action = row.action;
  }
  if (given == nullptr) {
    return diagnostics_.error(draft.node->place,
                              "the route does nothing: give it one of upstream, split, respond, redirect or static");
  }
  switch (draft.spec.action) {
    case Action::proxy: return compile_split(draft, draft.spec);
    case Action::respond: return compile_respond(draft.respond, draft.spec);
    case Action::redirect: return compile_redirect(draft, draft.spec);
    case Action::static_files: return compile_static(draft.files, draft.spec);
  }
}

void RouteCompiler::compile_split(const RouteDraft& draft, RouteSpec& route) {
  if (draft.upstream != nullptr) {
    if (const auto index = find_upstream(*draft.upstream)) route.split.push_back({*index, 1});
  }
  for (const SplitDraft& share : draft.split) {
    if (share.upstream == nullptr) continue;
    if (const auto index = find_upstream(*share.upstream)) route.split.push_back({*index, share.spec.weight});
  }
  for (const snapshot::SplitShare& share : route.split) route.split_total += share.weight;
  if (!route.split.empty()) route.first_cluster = route.split.front().cluster;
  const Entry* split = draft.node->find_entry("split");
  if (split == nullptr) return;
  if (draft.split.empty()) diagnostics_.error(split->key_place, "split: at least one share is needed");
  if (!route.split.empty() && route.split_total == 0)
    diagnostics_.error(split->key_place, "split: all weights are 0, so no request could go anywhere");
}

std::optional<uint32_t> RouteCompiler::find_upstream(const Node& node) {
  const auto found = upstream_index_.find(node.text);
  if (found != upstream_index_.end()) {
    used_[found->second] = true;
    return found->second;
  }
  std::string hint;
  if (!diagnostics_.full()) {
    Suggestion suggestion(node.text);
    for (const UpstreamDraft& upstream : upstreams_) suggestion.consider(upstream.name);
    hint = suggestion.text();
  }
  diagnostics_.error(node.place, fmt::format("there is no upstream \"{}\"{}", shortened(node.text), hint));
  return std::nullopt;
}

void RouteCompiler::compile_respond(const RespondDraft& draft, RouteSpec& route) {
  snapshot::RespondSpec& respond = route.respond.make();
  respond = draft.spec;
  std::vector<const Entry*> others;
  for (const Entry* entry : draft.headers) {
    if (!iequals(entry->key, "content-type")) {
      others.push_back(entry);
    } else if (!http::is_field_value(entry->value->text)) {
      diagnostics_.error(entry->value->place, "content-type: not a header value");
    } else {
      respond.content_type = entry->value->text;
    }
  }
  if (!others.empty()) compile_edits(others, route, route.response_headers.make().set);
}

void RouteCompiler::compile_redirect(const RouteDraft& draft, RouteSpec& route) {
  snapshot::RedirectSpec& redirection = route.redirect.make();
  redirection.status = draft.redirect.spec.status;
  constexpr uint16_t kStatuses[] = {301, 302, 303, 307, 308};
  const Node* redirect = draft.node->find("redirect");
  if (std::find(std::begin(kStatuses), std::end(kStatuses), redirection.status) == std::end(kStatuses)) {
    diagnostics_.error(redirect->find("status")->place,
                       "status: a redirection has the status 301, 302, 303, 307 or 308");
  }
  if (draft.redirect.to == nullptr) return;
  const Node& to = *draft.redirect.to;
  const bool good_start = to.text.starts_with('/') || to.text.starts_with('{') || to.text.starts_with("http://") ||
                          to.text.starts_with("https://");
  if (!good_start || !http::is_field_value(to.text) || to.text.find(' ') != std::string::npos) {
    diagnostics_.error(to.place, "to: not a URL; write https://{host}{path} or a path that begins with /");
  }
  if (auto compiled = compile_template(to, route)) redirection.to = std::move(*compiled);
}

void RouteCompiler::compile_static(const StaticDraft& draft, RouteSpec& route) {
  snapshot::StaticSpec& files = route.files.make();
  files = draft.spec;
  if (draft.root == nullptr) return;
  files.root = resolve_path(diagnostics_, *draft.root);
  files.root_fd = open_folder(files.root, *draft.root);
}

std::shared_ptr<const int> RouteCompiler::open_folder(const std::string& path, const Node& node) {
  std::shared_ptr<const int>& kept = folders_[path];
  if (kept != nullptr) return kept;
  sources_.add(path);
  const int descriptor = ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    diagnostics_.error(node.place, fmt::format("root: cannot open the folder {}: {}", path, std::strerror(errno)));
    return nullptr;
  }
  kept = std::shared_ptr<const int>(new int(descriptor), [](const int* owned) {
    ::close(*owned);
    delete owned;
  });
  return kept;
}

void RouteCompiler::compile_rewrite(const RouteDraft& draft, RouteSpec& route) {
  if (route.action != Action::proxy) {
    for (const std::string_view key : {"rewrite", "strip_prefix"}) {
      const Entry* entry = draft.node->find_entry(key);
      const bool used = route.action == Action::static_files && key == "strip_prefix";
      if (entry != nullptr && !used)
        diagnostics_.warning(entry->key_place, fmt::format("\"{}\" has no effect without an upstream", key));
    }
  }
  if (const Node* path = draft.rewrite.path) {
    if (!path->text.starts_with('/') && !path->text.starts_with("{path}")) {
      diagnostics_.error(path->place, "path: a rewritten path begins with / or {path}");
    }
    if (const size_t at = path->text.find_first_of("?#"); at != std::string::npos) {
      diagnostics_.error(place_inside(*path, at), "path: a rewritten path has no query; the client's goes on as it is");
    }
    if (auto compiled = compile_template(*path, route)) route.rewrite.make().path = std::move(*compiled);
  }
  if (const Node* host = draft.rewrite.host) {
    if (host->text.find('{') == std::string::npos && !http::is_valid_authority(host->text)) {
      diagnostics_.error(host->place,
                         fmt::format("host: \"{}\" is not a host; write users.internal or users.internal:8080",
                                     shortened(host->text)));
    }
    if (auto compiled = compile_template(*host, route)) route.rewrite.make().host.make() = std::move(*compiled);
  }
  if (draft.strip_prefix != nullptr) {
    compile_strip_prefix(*draft.strip_prefix, draft.match, route);
    if (draft.rewrite.path != nullptr) {
      diagnostics_.error(draft.strip_prefix->place, "strip_prefix cannot stand beside rewrite.path: both set the path");
    }
  }
}

void RouteCompiler::compile_strip_prefix(const Node& prefix, const MatchDraft& match, RouteSpec& route) {
  const std::string_view text = prefix.text;
  if (!text.starts_with('/') || text.ends_with('/') || text.find_first_of("{}") != std::string::npos) {
    return diagnostics_.error(
        prefix.place, fmt::format("strip_prefix: \"{}\" is not a path prefix; write it as /api/v1", shortened(text)));
  }
  route.rewrite.make().strip_prefix = text;
  if (match.path == nullptr) return;
  const std::string_view pattern = match.path->text;
  const bool starts = pattern.starts_with(text) && (pattern.size() == text.size() || pattern[text.size()] == '/');
  if (!starts) {
    diagnostics_.error(prefix.place, fmt::format("strip_prefix: no path that matches \"{}\" begins with \"{}\"",
                                                 shortened(pattern), shortened(text)));
  }
}

void RouteCompiler::compile_edits(const HeaderEditsDraft& draft, const RouteSpec& route,
                                  snapshot::Rare<snapshot::HeaderEdits>& made) {
  if (draft.set.empty() && draft.add.empty() && draft.remove.empty()) return;
  snapshot::HeaderEdits& edits = made.make();
  compile_edits(draft.set, route, edits.set);
  compile_edits(draft.add, route, edits.add);
  for (const Node* node : draft.remove) {
    if (check_header_name(node->text, node->place)) edits.remove.emplace_back(node->text);
  }
}

void RouteCompiler::compile_edits(std::span<const Entry* const> entries, const RouteSpec& route, Edits& edits) {
  for (const Entry* entry : entries) {
    if (!check_header_name(entry->key, entry->key_place)) continue;
    const Node& value = *entry->value;
    if (!http::is_field_value(value.text)) {
      diagnostics_.error(
          value.place,
          fmt::format("{}: not a header value: no control characters, no white space at the ends", entry->key));
      continue;
    }
    if (auto compiled = compile_template(value, route)) edits.emplace_back(entry->key, std::move(*compiled));
  }
}

bool RouteCompiler::check_header_name(std::string_view name, Place place) {
  if (!http::is_token(name)) {
    diagnostics_.error(place, fmt::format("\"{}\" is not a header name; write letters, digits and -", shortened(name)));
    return false;
  }
  const http::HeaderId id = http::header_id(name);
  for (const FixedHeader& fixed : kFixedHeaders) {
    if (fixed.id != id) continue;
    diagnostics_.error(place, fmt::format("\"{}\" {}", name, fixed.why));
    return false;
  }
  return true;
}

std::optional<Template> RouteCompiler::compile_template(const Node& node, const RouteSpec& route) {
  std::string error;
  size_t error_at = 0;
  auto compiled = Template::compile(node.text, route.captures, error, error_at);
  if (!compiled) diagnostics_.error(place_inside(node, error_at), std::move(error));
  return compiled;
}

Place RouteCompiler::place_inside(const Node& node, size_t at) const {
  Place place = node.place;
  const uint32_t first = place.column - 1 + (node.quoted ? 1 : 0);
  const std::string_view line = diagnostics_.source_line(place);
  // Escapes, variables and folded lines move bytes: then the value's start has to do.
  if (first < line.size() && line.substr(first).starts_with(node.text))
    place.column = first + 1 + static_cast<uint32_t>(at);
  return place;
}

}  // namespace sluice::control
