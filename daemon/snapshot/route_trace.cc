// RouteTable::explain(): walks the same trees as find() in the same order, but does not stop at the winner nor at a
// parameter that refuses its segment, and says of every route on the way what came of it. Slow and chatty on purpose.
#include <algorithm>
#include <set>

#include "http/uri.h"
#include "snapshot/explain.h"
#include "snapshot/route_tree.h"

namespace sluice::snapshot {
namespace {

using Tree = RouteTable::Tree;
using Step = RouteTable::Step;
using Verdict = Step::Verdict;

Verdict verdict_for(Condition::Kind kind) {
  switch (kind) {
    case Condition::Kind::header: return Verdict::header;
    case Condition::Kind::query: return Verdict::query;
    case Condition::Kind::claim: return Verdict::claim;
  }
  return Verdict::later;
}

// Enough for a person; a table may have thousands of near misses.
constexpr size_t kMaxNearMisses = 50;

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string mark_text(Mark mark) {
  switch (mark) {
    case Mark::integer: return "an int parameter";
    case Mark::uuid: return "a uuid parameter";
    case Mark::expression: return "a parameter with an expression";
    case Mark::plain: return "a plain parameter";
    case Mark::rest: return "a rest parameter";
  }
  return "";
}

std::vector<std::string_view> split_key(std::string_view key) {
  std::vector<std::string_view> segments;
  for (size_t at = 1; at <= key.size();) {
    size_t end = at;
    if (at < key.size() && key[at] == static_cast<char>(Mark::expression)) end += kExpressionTokenBytes;
    end = std::min(key.find('/', end), key.size());
    segments.push_back(key.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

std::string segment_text(std::string_view segment) {
  if (segment.empty() || !is_mark(segment[0])) return "the text " + quoted(segment);
  return mark_text(static_cast<Mark>(segment[0]));
}

// Why a pattern with the key `winner` goes before one with the key `loser`.
std::string path_preference(std::string_view winner, std::string_view loser) {
  const auto a = split_key(winner);
  const auto b = split_key(loser);
  size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  if (i == a.size() || i == b.size()) return "its path is less specific";
  const bool both_typed = !a[i].empty() && !b[i].empty() && is_mark(a[i][0]) && is_mark(b[i][0]) &&
                          static_cast<Mark>(b[i][0]) != Mark::plain && static_cast<Mark>(b[i][0]) != Mark::rest;
  return "segment " + std::to_string(i + 1) + ": " + segment_text(a[i]) + " goes before " + segment_text(b[i]) +
         (both_typed ? " that the configuration names later" : "");
}

class Tracer {
 public:
  Tracer(const Tree& tree, const RouteQuery& query, const RouteMatch& match)
      : tree_(tree), query_(query), match_(match), won_(match.outcome == RouteMatch::Outcome::matched) {}

  std::vector<Step> run() {
    std::vector<bool> visited(tree_.hosts.size());
    for (uint32_t i = tree_.hosts.find(query_.host); i != HostTable::kNone; i = tree_.hosts[i].next) {
      visited[i] = true;
      visit_host(i);
    }
    // Somebody who gets a 404 or 405 may have asked the wrong host.
    for (uint32_t i = 0; !won_ && i < tree_.hosts.size(); ++i) {
      if (visited[i]) continue;
      host_miss_ = "it serves " + tree_.hosts[i].text + ", not " +
                   (query_.host.empty() ? "an empty host" : std::string(query_.host));
      visit_host(i);
    }
    return std::move(steps_);
  }

 private:
  // Where the walk stands: what is left of the path, the key so far, and why no route from here on can win.
  struct Place {
    std::string_view rest;
    std::string key;
    std::string refusal;
  };

  void visit_host(uint32_t host) {
    host_ = host;
    visit(tree_.nodes[tree_.hosts[host].root], {query_.path, {}, {}});
  }

  void visit(const Tree::Node& node, Place place) {
    if (!enter(node, place)) return;
    if (node.is_leaf) {
      if (place.rest.empty()) report(node.leaf, place);
      return;
    }
    for (uint32_t i = 0; place.rest.empty() && i < node.branch.route_count; ++i) {
      report(tree_.nodes[node.branch.first_child + i].leaf, place);
    }
    for (uint32_t i = 0; i < node.literal_count; ++i) visit(tree_.nodes[node.first_literal() + i], place);
    for (uint32_t i = 0; i < node.branch.parameter_count; ++i) visit(tree_.nodes[node.first_parameter() + i], place);
  }

  // As in find(), but a parameter that refuses its segment is passed with the reason noted.
  bool enter(const Tree::Node& node, Place& place) const {
    for (const char *token = node.label, *end = token + node.label_length; token != end;) {
      if (!is_mark(*token)) {
        if (place.rest.empty() || place.rest[0] != *token) return false;
        place.rest.remove_prefix(1);
        place.key.push_back(*token++);
        continue;
      }
      const auto mark = static_cast<Mark>(*token);
      const std::string_view text = mark == Mark::rest ? place.rest : place.rest.substr(0, place.rest.find('/'));
      if (text.empty() && mark != Mark::rest) return false;
      const Expression::Outcome outcome = tree_.takes(token, text);
      if (outcome != Expression::Outcome::match && place.refusal.empty()) {
        place.refusal = mark_text(mark) +
                        (outcome == Expression::Outcome::limit ? " took too many steps on " : " does not take ") +
                        quoted(text);
      }
      const size_t length = mark == Mark::expression ? kExpressionTokenBytes : 1;
      place.key.append(token, length);
      place.rest.remove_prefix(text.size());
      token += length;
    }
    return true;
  }

  void report(const Tree::Leaf& leaf, const Place& place) {
    const bool near_miss = !host_miss_.empty() || !place.refusal.empty();
    if (near_miss && near_misses_++ >= kMaxNearMisses) return;
    if (!seen_.insert(leaf.route).second) return;
    Step step{leaf.route, Verdict::later, {}};
    if (!place.refusal.empty()) {
      step.verdict = Verdict::path;
      step.detail = place.refusal;
    } else if (!host_miss_.empty()) {
      step.verdict = Verdict::host;
      step.detail = host_miss_;
    } else if (!conditions_fail(leaf, step) && !method_fails(leaf, step)) {
      settle(leaf, place, step);
    }
    steps_.push_back(std::move(step));
  }

  bool conditions_fail(const Tree::Leaf& leaf, Step& step) const {
    if (leaf.first_condition == Tree::kNone) return false;
    for (const Tree::LeafCondition* c = &tree_.conditions[leaf.first_condition];; ++c) {
      if (!tree_.holds(*c, query_)) {
        step.verdict = verdict_for(c->kind);
        step.detail = std::string(word_for(c->kind)) + " " + c->name + found_instead(*c);
        return true;
      }
      if (c->last) return false;
    }
  }

  std::string found_instead(const Tree::LeafCondition& condition) const {
    std::string_view value;
    bool found = false;
    if (condition.kind == Condition::Kind::claim) {
      found = query_.claims != nullptr && query_.claims->find_claim(condition.name, value);
    } else if (condition.kind == Condition::Kind::query) {
      found = http::find_query_parameter(query_.query, condition.name, value);
    } else if (query_.headers != nullptr) {
      const http::HeaderField* field = query_.headers->find(condition.name);
      found = field != nullptr;
      if (found) value = field->value;
    }
    if (condition.any) return " is missing";
    if (!found) return " is missing; it must be " + quoted(condition.value);
    return " is " + quoted(value) + ", not " + quoted(condition.value);
  }

  bool method_fails(const Tree::Leaf& leaf, Step& step) const {
    if ((leaf.methods & http::method_bit(query_.method)) != 0) return false;
    step.verdict = Verdict::method;
    step.detail =
        "method " + std::string(http::name(query_.method)) + " is not in [" + method_names(leaf.methods) + "]";
    return true;
  }

  // The route matches in every way: it won, or says what it lost by.
  void settle(const Tree::Leaf& leaf, const Place& place, Step& step) {
    if (!won_) {
      step.detail = "the search ended at the expression that took too many steps";
    } else if (leaf.route == match_.route) {
      step.verdict = Verdict::won;
      winner_key_ = place.key;
      winner_host_ = host_;
      winner_conditions_ = condition_count(leaf);
    } else if (host_ != winner_host_) {
      const std::string& host = tree_.hosts[host_].text;
      step.detail =
          host.empty() ? "it is for any host, and one for this host matches" : "its host " + host + " is less specific";
    } else if (place.key != winner_key_) {
      step.detail = path_preference(winner_key_, place.key);
    } else if (condition_count(leaf) < winner_conditions_) {
      step.detail = "the same path, but fewer conditions";
    } else {
      step.detail = "the same path and as many conditions, but later in the configuration";
    }
  }

  size_t condition_count(const Tree::Leaf& leaf) const {
    if (leaf.first_condition == Tree::kNone) return 0;
    size_t count = 1;
    while (!tree_.conditions[leaf.first_condition + count - 1].last) ++count;
    return count;
  }

  const Tree& tree_;
  const RouteQuery& query_;
  const RouteMatch& match_;
  const bool won_;
  std::vector<Step> steps_;
  std::set<uint32_t> seen_;
  size_t near_misses_ = 0;
  uint32_t host_ = 0;
  std::string host_miss_;
  std::string winner_key_;
  uint32_t winner_host_ = 0;
  size_t winner_conditions_ = 0;
};

}  // namespace

std::vector<RouteTable::Step> RouteTable::explain(const RouteQuery& query, RouteMatch& match) const {
  find(query, match);
  if (tree_ == nullptr) return {};
  return Tracer(*tree_, query, match).run();
}

}  // namespace sluice::snapshot
