// find_shadowed(): routes that can never win. Right before complete: a route is only named if routes that are always
// tried before it accept everything that it accepts. What is found:
//   - at the same host and path (parameters' names aside): earlier ones with the same or weaker conditions that
//   together
//     accept all its methods;
//   - the same where the earlier ones have an expression that takes every segment, such as {x:.+}, for a plain
//   parameter;
//   - a query parameter that would have to have two values at once.
// A route with several hosts is shadowed if it is at each. Hash look-ups only, so 100,000 routes take well under a
// second.
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "snapshot/host_table.h"
#include "snapshot/pattern.h"
#include "snapshot/route_table.h"

namespace sluice::snapshot {
namespace {

// Past this many ways in which an earlier route could be weaker, only the likeliest are looked up.
constexpr size_t kMaxVariants = 256;

// Expressions that take every segment that is not empty; paths hold no line feed.
constexpr std::array<std::string_view, 8> kTakeAll{".+", ".*", "[^/]+", "[^/]*", "(.+)", "(.*)", ".+?", ".*?"};

// A set of conditions as one text, so that equal sets are equal texts.
using ConditionKey = std::string;

std::string condition_text(const Condition& c, bool any) {
  const char kind = static_cast<char>('a' + static_cast<int>(c.kind));
  // Neither byte can stand in a name; a name alone means "present".
  return any ? kind + c.name + '\1' : kind + c.name + '\2' + c.value + '\1';
}

struct Accepted {
  http::MethodSet methods = 0;
  uint32_t first = 0;  // the first route that contributed
};
// What the routes of one host and path accept, by their conditions.
using Cover = std::unordered_map<ConditionKey, Accepted>;

struct Finding {
  bool covered = false;
  uint32_t by = 0;
  bool alone = false;
  bool by_expression = false;
};

class ShadowFinder {
 public:
  explicit ShadowFinder(std::span<const RouteSpec> routes) : routes_(routes), findings_(routes.size()) {}

  std::vector<RouteWarning> run() {
    group();
    for (auto& [key, members] : groups_) sort(members);
    find_take_all();
    for (const auto& [key, members] : groups_) {
      if (members.size() > 1 || !take_all_.empty()) judge(key, members);
    }
    return warnings();
  }

 private:
  // Host and pattern key: views of hosts_ and key_of_route_.
  using GroupKey = std::pair<std::string_view, std::string_view>;
  struct GroupHash {
    size_t operator()(const GroupKey& k) const {
      return std::hash<std::string_view>()(k.first) * 31 + std::hash<std::string_view>()(k.second);
    }
  };

  void group();
  void sort(std::vector<uint32_t>& members) const;
  void find_take_all();
  void judge(const GroupKey& key, const std::vector<uint32_t>& members);
  Finding covered_by(const Cover& cover, uint32_t route) const;
  Finding covered_by_expression(const GroupKey& key, uint32_t route);
  const Cover& whole_cover(const GroupKey& key, const std::vector<uint32_t>& members);
  void add_to(Cover& cover, uint32_t route) const;
  std::vector<std::vector<std::string>> condition_variants(uint32_t route) const;
  std::vector<ConditionKey> weaker_keys(uint32_t route) const;
  std::vector<std::string> preferred_keys(std::string_view key) const;
  std::vector<RouteWarning> warnings() const;
  RouteWarning warning(uint32_t route) const;
  std::string contradiction(uint32_t route) const;
  std::string named(uint32_t route) const { return "'" + routes_[route].name + "' (" + routes_[route].source + ")"; }

  std::span<const RouteSpec> routes_;
  PatternKeys keys_;
  std::vector<std::string> key_of_route_;
  std::unordered_set<std::string> hosts_;
  std::unordered_map<GroupKey, std::vector<uint32_t>, GroupHash> groups_;
  std::unordered_map<GroupKey, Cover, GroupHash> whole_covers_;  // filled as asked for
  std::vector<std::string> take_all_;                            // tokens of the expressions in kTakeAll that occur
  struct Standing {
    uint32_t hosts = 0;
    uint32_t covered = 0;
    Finding named;  // of the finding with the earliest route, so that equal files give equal messages
  };
  std::vector<Standing> findings_;
};

void ShadowFinder::group() {
  key_of_route_.reserve(routes_.size());
  groups_.reserve(routes_.size());
  std::vector<std::string_view> hosts;
  for (uint32_t i = 0; i < routes_.size(); ++i) {
    const std::string_view key = key_of_route_.emplace_back(keys_.key_of(parsed_pattern(routes_[i].match.path)));
    hosts.clear();
    for (const std::string& host : routes_[i].match.hosts) hosts.push_back(*hosts_.insert(canonical_host(host)).first);
    if (hosts.empty()) hosts.emplace_back();
    std::sort(hosts.begin(), hosts.end());
    hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
    for (const std::string_view host : hosts) groups_[{host, key}].push_back(i);
    findings_[i].hosts = static_cast<uint32_t>(hosts.size());
  }
}

// In the order in which find() tries them.
void ShadowFinder::sort(std::vector<uint32_t>& members) const {
  std::stable_sort(members.begin(), members.end(), [&](uint32_t a, uint32_t b) {
    const auto count = [&](uint32_t i) { return routes_[i].match.conditions.size(); };
    return count(a) > count(b);
  });
}

void ShadowFinder::find_take_all() {
  for (uint32_t number = 0; number < keys_.expressions().size(); ++number) {
    if (std::find(kTakeAll.begin(), kTakeAll.end(), keys_.expressions()[number]) != kTakeAll.end()) {
      take_all_.push_back(expression_token(number));
    }
  }
}

void ShadowFinder::judge(const GroupKey& key, const std::vector<uint32_t>& members) {
  Cover earlier;
  for (const uint32_t route : members) {
    Finding finding = covered_by(earlier, route);
    if (!finding.covered && !take_all_.empty()) finding = covered_by_expression(key, route);
    if (finding.covered && (findings_[route].covered++ == 0 || finding.by < findings_[route].named.by)) {
      findings_[route].named = finding;
    }
    add_to(earlier, route);
  }
}

Finding ShadowFinder::covered_by(const Cover& cover, uint32_t route) const {
  const http::MethodSet wanted = routes_[route].match.methods;
  if (cover.empty() || wanted == 0) return {};
  http::MethodSet accepted = 0;
  Finding finding{.by = UINT32_MAX};
  for (const ConditionKey& key : weaker_keys(route)) {
    const auto found = cover.find(key);
    if (found == cover.end() || (found->second.methods & wanted) == 0) continue;
    accepted |= found->second.methods;
    finding.by = std::min(finding.by, found->second.first);
  }
  finding.covered = (accepted & wanted) == wanted;
  finding.alone = finding.covered && (routes_[finding.by].match.methods & wanted) == wanted;
  return finding;
}

Finding ShadowFinder::covered_by_expression(const GroupKey& key, uint32_t route) {
  for (const std::string& preferred : preferred_keys(key.second)) {
    const auto group = groups_.find({key.first, preferred});
    if (group == groups_.end()) continue;
    Finding finding = covered_by(whole_cover(group->first, group->second), route);
    finding.by_expression = true;
    if (finding.covered) return finding;
  }
  return {};
}

const Cover& ShadowFinder::whole_cover(const GroupKey& key, const std::vector<uint32_t>& members) {
  const auto [at, fresh] = whole_covers_.try_emplace(key);
  if (fresh) {
    for (const uint32_t route : members) add_to(at->second, route);
  }
  return at->second;
}

// Each condition of the route in the forms in which a weaker set may hold it: as it is, merely "present", or not at
// all.
std::vector<std::vector<std::string>> ShadowFinder::condition_variants(uint32_t route) const {
  std::map<std::string, std::vector<std::string>> variants;  // sorted and each once, as a ConditionKey is
  for (const Condition& c : routes_[route].match.conditions) {
    const std::string exact = condition_text(c, c.any);
    std::vector<std::string> forms{exact};
    if (!c.any) forms.push_back(condition_text(c, true));
    forms.emplace_back();
    variants[exact] = std::move(forms);
  }
  std::vector<std::vector<std::string>> out;
  for (auto& [exact, forms] : variants) out.push_back(std::move(forms));
  return out;
}

// The keys of all condition sets that hold whenever the route's own do; the first is the route's own.
std::vector<ConditionKey> ShadowFinder::weaker_keys(uint32_t route) const {
  std::vector<std::vector<std::string>> sets{{}};
  size_t count = 1;
  const auto variants = condition_variants(route);
  for (const auto& forms : variants) count = std::min(count * forms.size(), kMaxVariants + 1);
  for (const auto& forms : variants) {
    std::vector<std::vector<std::string>> longer;
    for (const auto& set : sets) {
      for (size_t i = 0; i < (count > kMaxVariants ? 1 : forms.size()); ++i) {
        longer.push_back(set);
        if (!forms[i].empty()) longer.back().push_back(forms[i]);
      }
    }
    sets = std::move(longer);
  }
  std::vector<ConditionKey> keys;
  for (auto& set : sets) {
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
    ConditionKey key;
    for (const std::string& text : set) key += text;
    keys.push_back(std::move(key));
  }
  std::sort(keys.begin() + 1, keys.end());
  keys.erase(std::unique(keys.begin() + 1, keys.end()), keys.end());
  return keys;
}

void ShadowFinder::add_to(Cover& cover, uint32_t route) const {
  Accepted& accepted = cover.try_emplace(weaker_keys(route).front(), Accepted{0, route}).first->second;
  accepted.methods |= routes_[route].match.methods;
}

// The keys that differ from `key` in having an expression that takes everything for one plain parameter or more. find()
// tries them first, whatever else they hold.
std::vector<std::string> ShadowFinder::preferred_keys(std::string_view key) const {
  std::vector<std::string> keys{std::string()};
  for (const std::string_view token : tokens_of(key)) {
    const bool plain = token[0] == static_cast<char>(Mark::plain);
    const size_t before = keys.size();
    if (plain && before * (take_all_.size() + 1) <= kMaxVariants) {
      for (const std::string& instead : take_all_) {
        for (size_t i = 0; i < before; ++i) keys.push_back(keys[i] + instead);
      }
    }
    for (size_t i = 0; i < before; ++i) keys[i] += token;
  }
  std::erase(keys, key);
  return keys;
}

std::string ShadowFinder::contradiction(uint32_t route) const {
  const std::vector<Condition>& all = routes_[route].match.conditions;
  for (const Condition& one : all) {
    for (const Condition& other : all) {
      if (&one == &other) break;
      if (one.kind != Condition::Kind::query || other.kind != Condition::Kind::query || one.name != other.name)
        continue;
      if (one.any || other.any || one.value == other.value) continue;
      return "query parameter " + one.name + " cannot be both \"" + other.value + "\" and \"" + one.value + "\"";
    }
  }
  return {};
}

RouteWarning ShadowFinder::warning(uint32_t route) const {
  const Finding& finding = findings_[route].named;
  std::string message = "route " + named(route) + " can never match: ";
  if (finding.by_expression) {
    message +=
        named(finding.by) + " has an expression that takes every segment where this one has a plain parameter, and is";
  } else {
    message += named(finding.by) + " has the same hosts and path and is";
  }
  message += finding.alone ? " always tried first" : " tried first, and together with others accepts all its methods";
  return {route, finding.by, std::move(message)};
}

std::vector<RouteWarning> ShadowFinder::warnings() const {
  std::vector<RouteWarning> out;
  for (uint32_t i = 0; i < routes_.size(); ++i) {
    if (const std::string why = contradiction(i); !why.empty()) {
      out.push_back({i, i, "route " + named(i) + " can never match: " + why});
    } else if (findings_[i].covered == findings_[i].hosts) {
      out.push_back(warning(i));
    }
  }
  return out;
}

}  // namespace

std::vector<RouteWarning> find_shadowed(std::span<const RouteSpec> routes) { return ShadowFinder(routes).run(); }

}  // namespace sluice::snapshot
