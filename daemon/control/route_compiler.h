// RouteCompiler: reads a route by the schema, and makes its RouteSpec out of the draft: the pattern and its captures, the one action,
// templates, header edits, and the upstreams by index. Reports every mistake; lives during one compilation.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/draft.h"
#include "control/section_reader.h"
#include "control/tree.h"
#include "snapshot/spec.h"

namespace sluice::control {

class PluginCompiler;

class RouteCompiler {
 public:
  /// `upstreams` must outlive the compiler; its order is that of Snapshot::clusters. `plugins` compiled them already.
  RouteCompiler(std::span<const UpstreamDraft> upstreams, PluginCompiler& plugins, SectionReader& reader,
                Diagnostics& diagnostics, SourceFiles& sources);

  /// With errors the result is incomplete.
  std::vector<snapshot::RouteSpec> compile(std::span<Node* const> nodes);
  /// By index: does a route use the upstream?
  [[nodiscard]] const std::vector<bool>& used_upstreams() const { return used_; }

 private:
  using RouteSpec = snapshot::RouteSpec;

  /// `given`: the node of each route's name, null if it has none.
  void name_routes(std::span<const Node* const> given, std::span<RouteSpec> routes);
  void compile_route(RouteDraft& draft);
  void compile_pattern(const MatchDraft& draft, RouteSpec& route);
  void compile_action(RouteDraft& draft);
  void compile_split(const RouteDraft& draft, RouteSpec& route);
  void compile_respond(const RespondDraft& draft, RouteSpec& route);
  void compile_redirect(const RouteDraft& draft, RouteSpec& route);
  void compile_static(const StaticDraft& draft, RouteSpec& route);
  void compile_rewrite(const RouteDraft& draft, RouteSpec& route);
  void compile_strip_prefix(const Node& prefix, const MatchDraft& match, RouteSpec& route);
  using Edits = std::vector<std::pair<std::string, snapshot::Template>>;
  void compile_edits(const HeaderEditsDraft& draft, const RouteSpec& route,
                     snapshot::Rare<snapshot::HeaderEdits>& made);
  void compile_edits(std::span<const Entry* const> entries, const RouteSpec& route, Edits& edits);
  bool check_header_name(std::string_view name, Place place);
  std::optional<snapshot::Template> compile_template(const Node& node, const RouteSpec& route);
  std::optional<uint32_t> find_upstream(const Node& node);
  std::shared_ptr<const int> open_folder(const std::string& path, const Node& node);
  /// The place of a byte of a scalar.
  [[nodiscard]] Place place_inside(const Node& node, size_t at) const;

  std::span<const UpstreamDraft> upstreams_;
  PluginCompiler& plugins_;
  SectionReader& reader_;
  Diagnostics& diagnostics_;
  SourceFiles& sources_;
  std::unordered_map<std::string_view, uint32_t> upstream_index_;
  std::vector<bool> used_;
  std::map<std::string, std::shared_ptr<const int>> folders_;  // one descriptor for all routes with the same root
};

}  // namespace sluice::control
