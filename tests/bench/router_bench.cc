// What a match costs: 10, 1,000 and 100,000 routes of five segments with no, two and three parameters, looked up in
// random order, and what building and the search for shadowed routes cost. Goals: under 150 ns a match at 1,000 routes
// and under 300 at 100,000 (two parameters); no more than 10 % between the kinds; 100,000 routes built in under 2 s.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "bench.h"
#include "snapshot/route_table.h"

namespace {

using namespace sluice;
using snapshot::RouteMatch;
using snapshot::RouteQuery;
using snapshot::RouteSpec;
using snapshot::RouteTable;
using Clock = std::chrono::steady_clock;

constexpr size_t kRequests = 1 << 17;  // enough that 100,000 routes do not fit a core's caches

enum class Kind { none, two, three };
constexpr const char* kKindNames[] = {"no", "two", "three"};

// The words of route i: services of up to 100 routes each, as a large estate has them.
struct Words {
  std::string service, version, third, collection, fifth;
};
Words words_of(size_t i) {
  return {"service-" + std::to_string(i / 100), "v" + std::to_string(i % 100 / 25), "entries",
          "part-" + std::to_string(i % 25), "all"};
}

std::string pattern_of(size_t i, Kind kind) {
  const Words w = words_of(i);
  const std::string head = "/" + w.service + "/" + w.version;
  if (kind == Kind::none) return head + "/" + w.third + "/" + w.collection + "/" + w.fifth;
  if (kind == Kind::two) return head + "/{id}/" + w.collection + "/{sub}";
  return "/" + w.service + "-" + w.version + "/" + w.collection + "/{id}/{part}/{sub}";
}

std::string path_of(size_t i, Kind kind, std::mt19937& random) {
  const Words w = words_of(i);
  const std::string head = "/" + w.service + "/" + w.version;
  const std::string id = std::to_string(1'000'000 + random() % 8'999'999);
  const std::string sub = std::to_string(random() % 1000);
  if (kind == Kind::none) return pattern_of(i, kind);
  if (kind == Kind::two) return head + "/" + id + "/" + w.collection + "/" + sub;
  return "/" + w.service + "-" + w.version + "/" + w.collection + "/" + id + "/" + w.third + "/" + sub;
}

std::vector<RouteSpec> routes_of(size_t count, Kind kind) {
  std::vector<RouteSpec> routes(count);
  for (size_t i = 0; i < count; ++i) routes[i].match.path = pattern_of(i, kind);
  return routes;
}

// All paths one after another in one block: reading them costs what reading a warm receive buffer does.
struct Requests {
  std::string text;
  std::vector<std::string_view> paths;
  std::vector<uint32_t> routes;
};
Requests requests_of(size_t route_count, Kind kind) {
  std::mt19937 random(7);
  Requests requests;
  std::vector<size_t> ends;
  for (size_t i = 0; i < kRequests; ++i) {
    const size_t route = random() % route_count;
    requests.routes.push_back(static_cast<uint32_t>(route));
    requests.text += path_of(route, kind, random);
    ends.push_back(requests.text.size());
  }
  for (size_t i = 0, begin = 0; i < kRequests; begin = ends[i++]) {
    requests.paths.push_back(std::string_view(requests.text).substr(begin, ends[i] - begin));
  }
  return requests;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void match(bench::Runner& runner, size_t count, Kind kind) {
  const std::string name = std::to_string(count) + " routes, " + kKindNames[static_cast<int>(kind)] + " parameters";
  if (!runner.wants(name)) return;
  const RouteTable table = RouteTable::build(routes_of(count, kind));
  const Requests requests = requests_of(count, kind);
  RouteMatch match;
  RouteQuery query{.host = "api.example.com", .path = {}, .query = {}};
  size_t i = 0;
  runner.run(name, [&] {
    query.path = requests.paths[i];
    table.find(query, match);
    if (match.outcome != RouteMatch::Outcome::matched || match.route != requests.routes[i]) std::abort();
    i = (i + 1) % kRequests;
  });
}

void build(size_t count) {
  const std::vector<RouteSpec> routes = routes_of(count, Kind::two);
  auto start = Clock::now();
  const RouteTable table = RouteTable::build(routes);
  const double build_seconds = seconds_since(start);
  start = Clock::now();
  const size_t shadowed = snapshot::find_shadowed(routes).size();
  std::printf("%zu routes: built in %.3f s, %zu bytes each; looked for shadowed ones in %.3f s, found %zu\n", count,
              build_seconds, table.memory_bytes() / count, seconds_since(start), shadowed);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Runner runner(argc, argv);
  for (const size_t count : {size_t{10}, size_t{1'000}, size_t{100'000}}) {
    for (const Kind kind : {Kind::none, Kind::two, Kind::three}) match(runner, count, kind);
  }
  if (argc == 1) build(100'000);
}
