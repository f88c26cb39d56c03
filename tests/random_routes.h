// Small route sets and requests, made from numbers, in which everything collides with everything: few words, few hosts,
// every kind of parameter. The property test feeds it a random generator, the fuzzer the bytes that it is given.
#pragma once

#include <array>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "snapshot/explain.h"
#include "snapshot/route_table.h"

namespace sluice::random_routes {

using snapshot::Condition;
using snapshot::RouteQuery;
using snapshot::RouteSpec;

/// A request that owns what its RouteQuery points to.
struct Request {
  std::string host;
  std::string path;
  std::string query;
  http::Method method = http::Method::GET;
  std::vector<http::HeaderField> fields;
  http::HeaderMap headers;

  [[nodiscard]] RouteQuery as_query() {
    headers = http::HeaderMap(fields);
    return {.host = host, .path = path, .query = query, .method = method, .headers = &headers};
  }
  [[nodiscard]] std::string text() const {
    std::string out = std::string(http::name(method)) + " " + host + path + "?" + query;
    for (const auto& f : fields) out += " " + std::string(f.name) + ":" + std::string(f.value);
    return out;
  }
};

inline constexpr std::string_view kUuid = "123e4567-e89b-12d3-a456-426614174000";
inline constexpr std::array<std::string_view, 12> kWords{
    "a", "b",   "ab", "abc", "", "users", "user", "a-rather-long-literal-word", "a-rather-long-literal-wort",
    "7", "-12", kUuid};
inline constexpr std::array<std::string_view, 10> kParameters{":int",      ":uuid", ":[a-z]+", ":[0-9]+", ":a|b",
                                                              ":[^/]{2,}", ":.+",   "",        "",        ""};
inline constexpr std::array<std::string_view, 6> kHosts{"a.test",     "b.a.test",   "*.a.test",
                                                        "*.b.a.test", "c.b.a.test", "*.test"};
inline constexpr std::array<std::string_view, 8> kAskedHosts{
    "a.test", "B.A.test", "c.b.a.test.", "x.a.test", "y.x.test", "other", "", "x.b.a.test"};

/// `next(n)` gives a number below n.
template <typename Next>
class Maker {
 public:
  explicit Maker(Next next) : next_(std::move(next)) {}

  std::vector<RouteSpec> routes(size_t at_most) {
    std::vector<RouteSpec> out(1 + next_(at_most));
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = route();
      out[i].name = "r" + std::to_string(i);
    }
    return out;
  }

  RouteSpec route() {
    RouteSpec spec;
    spec.match.path = pattern(spec.captures);
    while (next_(3) == 0 && spec.match.hosts.size() < 2) spec.match.hosts.emplace_back(pick(kHosts));
    if (next_(2) == 0) spec.match.methods = 1 + next_(7);  // of GET, HEAD, POST
    if (next_(4) == 0)
      spec.match.conditions.push_back({Condition::Kind::header, "x-a", std::to_string(next_(2)), next_(3) == 0});
    if (next_(6) == 0) spec.match.conditions.push_back({Condition::Kind::header, "host", "1", next_(2) == 0});
    if (next_(5) == 0)
      spec.match.conditions.push_back({Condition::Kind::query, "v", std::to_string(next_(2)), next_(3) == 0});
    return spec;
  }

  Request request() {
    Request out;
    out.host = pick(kAskedHosts);
    for (size_t i = 0, count = 1 + next_(5); i < count; ++i) out.path.append("/").append(pick(kWords));
    out.method = static_cast<http::Method>(next_(4));  // GET, HEAD, POST, PUT
    if (next_(2) == 0) out.fields.push_back({"X-A", next_(2) == 0 ? "0" : "1", http::HeaderId::other});
    if (next_(4) == 0) out.fields.push_back({"x-a", "1", http::HeaderId::other});
    if (next_(4) == 0) out.fields.push_back({"Host", "1", http::HeaderId::host});
    if (next_(2) == 0) out.query = next_(2) == 0 ? "v=1" : "u=2&v=0";
    return out;
  }

 private:
  template <size_t N>
  std::string_view pick(const std::array<std::string_view, N>& from) {
    return from[next_(N)];
  }

  std::string pattern(std::vector<std::string>& captures) {
    std::string out;
    for (size_t i = 0, count = 1 + next_(5); i < count; ++i) {
      out += '/';
      if (next_(2) == 0) {
        out += pick(kWords);
        continue;
      }
      captures.push_back("p" + std::to_string(i));
      const bool rest = i + 1 == count && next_(4) == 0;
      out += "{" + captures.back() + (rest ? "..." : std::string(pick(kParameters))) + "}";
    }
    return out;
  }

  Next next_;
};

/// As a person would write them, for the message of a failure.
inline std::string text(const std::vector<RouteSpec>& routes) {
  std::string out;
  for (const RouteSpec& route : routes) {
    out += "  " + route.name + ": " + route.match.path + " methods=" + std::to_string(route.match.methods);
    for (const auto& host : route.match.hosts) out += " host=" + host;
    for (const auto& c : route.match.conditions) {
      out += " " + std::string(snapshot::word_for(c.kind)) + " " + c.name + "=" + (c.any ? "(any)" : c.value);
    }
    out += '\n';
  }
  return out;
}

}  // namespace sluice::random_routes
