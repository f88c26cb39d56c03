// RouteTable: finds the route for a request in a compressed radix tree over host and path (DESIGN §4). Built once from
// the snapshot's routes, then immutable and shared by all workers; matching allocates nothing and takes no lock.
//
// Path, at each segment: a literal, then typed and regex parameters in the order in which the configuration names them
// there, then a plain parameter, then the rest (pattern.h says what each takes). A trailing slash makes another path.
// Host: exact, then the longest "*." wildcard, shorter ones, any; where a host's routes have no match, those of the
// next less specific one are asked, so a route without hosts serves all hosts. Among routes of the same path: more
// header and query conditions first, then file order. With backtracking through all of this: a dead end, a failed
// condition and a method that is not served never hide a match. A header condition looks at every field of its name, a
// query condition at the first parameter of its name. How the tree is laid out stands in route_tree.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "http/message.h"
#include "snapshot/spec.h"

namespace sluice::snapshot {

/// What plugins verified of the client, by name.
class ClaimSource {
 public:
  [[nodiscard]] virtual bool find_claim(std::string_view name, std::string_view& value) const = 0;

 protected:
  ~ClaimSource() = default;
};

/// What a match looks at. All views; path is normalised (http::normalise_path), host has no port.
struct RouteQuery {
  std::string_view host;  // any case
  std::string_view path;
  std::string_view query;
  http::Method method = http::Method::GET;
  const http::HeaderMap* headers = nullptr;
  const ClaimSource* claims = nullptr;
};

constexpr size_t kMaxCaptures = 16;

struct RouteMatch {
  enum class Outcome : uint8_t {
    matched,
    no_route,            // 404
    method_not_allowed,  // 405: `allowed` is what all routes accept that match but for the method
    regex_limit,         // a parameter's expression took too many steps; no less specific route is tried
  };
  Outcome outcome = Outcome::no_route;
  uint32_t route = 0;  // index into the routes given to build()
  http::MethodSet allowed = 0;
  uint32_t capture_count = 0;
  std::array<std::string_view, kMaxCaptures> captures;  // in the order of RouteSpec::captures; views into the path
};

/// Why a pattern is not accepted; `at` is an offset into the pattern.
struct PatternError {
  std::string message;
  size_t at = 0;
};

/// The parameter names of a pattern, or why it is wrong. Checks everything about one pattern, regexes included.
std::variant<std::vector<std::string>, PatternError> check_pattern(std::string_view pattern);

class RouteTable {
 public:
  RouteTable();
  ~RouteTable();
  RouteTable(RouteTable&&) noexcept;
  RouteTable& operator=(RouteTable&&) noexcept;

  /// Every pattern must have passed check_pattern(). Keeps no reference to `routes`.
  static RouteTable build(std::span<const RouteSpec> routes);

  /// Thread-safe. `match` must be fresh or reused; it is overwritten.
  void find(const RouteQuery& query, RouteMatch& match) const;

  /// One step of the way that find() went, for `sluice explain` (snapshot/explain.h formats it).
  struct Step {
    uint32_t route;  // candidate
    enum class Verdict : uint8_t { won, host, path, method, header, query, claim, later } verdict;
    std::string detail;  // "method POST is not in [GET, HEAD]", "header x-canary is \"0\", not \"1\"", …
  };
  /// As find(), and tells of every route that was considered on the way: those whose literals fit the path, at the
  /// hosts that serve the request; if nothing matched, at other hosts as well (Verdict::host). In the order in which
  /// they are tried, each once. Near misses past the fiftieth are left out. Allocates; not for the request path.
  std::vector<Step> explain(const RouteQuery& query, RouteMatch& match) const;

  [[nodiscard]] size_t memory_bytes() const;

  struct Tree;  // route_tree.h

 private:
  std::unique_ptr<const Tree> tree_;
};

/// Routes that can never win: same pattern and hosts as an earlier one whose conditions are a subset (shadowed), and so
/// on.
struct RouteWarning {
  uint32_t route;
  uint32_t shadowed_by;
  std::string message;  // names both, and why
};
std::vector<RouteWarning> find_shadowed(std::span<const RouteSpec> routes);

}  // namespace sluice::snapshot
