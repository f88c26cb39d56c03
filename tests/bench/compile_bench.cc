// What a configuration of many routes costs before it can be published, on the control thread: reading the YAML, checking
// it against the schema and compiling it (templates, patterns, names), the route table, the text that /config shows, and
// naming the series that the routes count in; beside it the search for shadowed routes, which `check` makes. Goals:
// 100,000 routes in 2 s of CPU, 10,000 in 50 ms.
//
//   bench_compile [ROUTES...]
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "control/compile.h"
#include "control/redact.h"
#include "control/yaml_reader.h"
#include "proxy/series.h"

namespace {

using namespace sluice;

std::string yaml_of(size_t routes) {
  std::string text =
      "version: 1\nlisteners:\n  public: {address: \"127.0.0.1:8080\"}\nupstreams:\n"
      "  users: {endpoints: [\"127.0.0.1:9001\"]}\nroutes:\n";
  for (size_t i = 0; i < routes; ++i) {
    const auto number = [](size_t n) { return std::to_string(n); };
    text += "  - name: route-" + number(i) + "\n    match:\n      path: \"/service-" + number(i / 100) + "/v" +
            number(i % 100 / 25) + "/{id}/part-" + number(i % 25) +
            "/{sub}\"\n      methods: [GET, POST]\n    upstream: users\n    timeout: 5s\n";
  }
  return text;
}

template <typename Work>
double milliseconds(Work&& work) {
  const std::clock_t start = std::clock();  // CPU time
  work();
  return static_cast<double>(std::clock() - start) * 1e3 / CLOCKS_PER_SEC;
}

struct Times {
  double read, all, table, shown, series, shadowed;
};

Times measure(const std::string& text) {
  Times times{};
  times.read = milliseconds([&] {
    control::Tree tree;
    control::Diagnostics diagnostics;
    if (control::read_yaml(diagnostics.add_file("x.yaml", text), tree, diagnostics) == nullptr) std::abort();
  });
  control::CompileResult result;
  times.all = milliseconds([&] { result = control::compile_text(text, "x.yaml"); });
  if (result.snapshot == nullptr) std::abort();
  const snapshot::Snapshot& snapshot = *result.snapshot;
  times.table = milliseconds([&] { snapshot::RouteTable::build(snapshot.routes); });
  control::Tree tree;
  control::Diagnostics diagnostics;
  const control::Node* root = control::read_yaml(diagnostics.add_file("x.yaml", text), tree, diagnostics);
  times.shown = milliseconds([&] { control::redacted_yaml(*root, tree); });
  stats::Registry registry(1);
  stats::SeriesHold hold(registry);
  times.series = milliseconds([&] { proxy::Series::intern(hold, snapshot); });
  times.shadowed = milliseconds([&] { snapshot::find_shadowed(snapshot.routes); });
  return times;
}

void run(size_t routes) {
  const std::string text = yaml_of(routes);
  std::array<Times, 5> rounds;
  for (Times& round : rounds) round = measure(text);
  const auto median = [&](double Times::*part) {
    std::sort(rounds.begin(), rounds.end(), [&](const Times& a, const Times& b) { return a.*part < b.*part; });
    return rounds[rounds.size() / 2].*part;
  };
  const double read = median(&Times::read), all = median(&Times::all), table = median(&Times::table);
  const double shown = median(&Times::shown), series = median(&Times::series);
  std::printf(
      "%zu routes, %.1f MB: %.1f ms of CPU = read %.1f + schema and compile %.1f + route table %.1f + text for /config "
      "%.1f + series %.1f; shadowed routes %.1f\n",
      routes, static_cast<double>(text.size()) / 1e6, all + series, read, all - read - table - shown, table, shown,
      series, median(&Times::shadowed));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    run(10'000);
    run(100'000);
  }
  for (int i = 1; i < argc; ++i) run(std::strtoull(argv[i], nullptr, 10));
}
