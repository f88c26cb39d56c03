// What a match costs: 10, 1,000 and 100,000 routes of five segments, with none, two and (but for the first two) only
// parameters, looked up in random order. Prints nanoseconds per match and per segment, what building costs, and memory.
// The goals: under 150 ns at 1,000 and under 300 ns at 100,000 for the kind "two", the kinds within 10 % of each other.
//
//   bench_router [rounds [routes [kind]]]      kind: 0 none, 1 two, 2 three parameters
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "http/message.h"
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
constexpr const char* kKindNames[] = {"none", "two", "three"};

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

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Nanoseconds per match of one pass over all requests; ends the program on a wrong answer.
double pass(const RouteTable& table, const Requests& requests) {
  RouteMatch match;
  RouteQuery query{.host = "api.example.com", .path = {}, .query = {}};
  size_t wrong = 0;
  const auto start = Clock::now();
  for (size_t i = 0; i < kRequests; ++i) {
    query.path = requests.paths[i];
    table.find(query, match);
    wrong += match.outcome != RouteMatch::Outcome::matched || match.route != requests.routes[i];
  }
  const double seconds = seconds_since(start);
  if (wrong != 0) {
    std::printf("%zu wrong matches\n", wrong);
    std::exit(1);
  }
  return seconds * 1e9 / kRequests;
}

void measure(size_t count, Kind kind, int rounds) {
  const std::vector<RouteSpec> routes = routes_of(count, kind);
  const auto start = Clock::now();
  const RouteTable table = RouteTable::build(routes);
  const double build_seconds = seconds_since(start);
  const Requests requests = requests_of(count, kind);
  std::vector<double> results;
  for (int i = 0; i < rounds; ++i) results.push_back(pass(table, requests));
  std::sort(results.begin(), results.end());
  std::printf("%7zu  %-10s  %7.1f  %7.1f  %11.1f  %9.3f  %11zu\n", count, kKindNames[static_cast<int>(kind)],
              results.front(), results[results.size() / 2], results[results.size() / 2] / 5, build_seconds,
              table.memory_bytes() / count);
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  const int rounds = std::max(1, argument(1, 15));
  std::printf(" routes  parameters   best ns   med ns   ns/segment    build s  bytes/route\n");
  for (const int count : {10, 1'000, 100'000}) {
    for (const Kind kind : {Kind::none, Kind::two, Kind::three}) {
      if (argument(2, count) == count && argument(3, static_cast<int>(kind)) == static_cast<int>(kind)) {
        measure(static_cast<size_t>(count), kind, rounds);
      }
    }
  }
}
