#include "stats/prometheus.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "stats/process.h"

namespace sluice::stats {
namespace {

TEST_CASE("counters and gauges are shown with help, type and labels") {
  Registry registry(2);
  registry.shard(0).add(registry.intern(Family::downstream_accepted, {"public"}), 3);
  registry.shard(1).add(registry.intern(Family::downstream_accepted, {"public"}), 4);
  registry.shard(1).step(registry.intern(Family::requests_in_flight), -1);
  CHECK(prometheus_text(registry) ==
        "# HELP sluice_downstream_connections_accepted_total Client connections accepted.\n"
        "# TYPE sluice_downstream_connections_accepted_total counter\n"
        "sluice_downstream_connections_accepted_total{listener=\"public\"} 7\n"
        "# HELP sluice_requests_in_flight Requests begun and not yet finished.\n"
        "# TYPE sluice_requests_in_flight gauge\n"
        "sluice_requests_in_flight -1\n");
}

TEST_CASE("times are shown in seconds, to the microsecond") {
  Registry registry(1);
  const SeriesId cpu = registry.intern(Family::process_cpu);
  const auto shown = [&](uint64_t micros) {
    registry.control().set(cpu, micros);
    const std::string page = prometheus_text(registry);
    const size_t at = page.rfind(' ') + 1;
    return page.substr(at, page.size() - at - 1);
  };
  CHECK(shown(0) == "0");
  CHECK(shown(1) == "0.000001");
  CHECK(shown(2'500) == "0.0025");
  CHECK(shown(61'000'000) == "61");
  CHECK(shown(1'700'000'000'123'450) == "1700000000.12345");
}

TEST_CASE("a histogram has cumulative buckets at powers of two, a sum and a count") {
  Registry registry(1);
  const SeriesId id = registry.intern(Family::request_duration, {"users"});
  for (const uint64_t micros : {1u, 31u, 32u, 100u, 200'000'000u}) registry.shard(0).observe(id, micros);
  const std::string page = prometheus_text(registry);
  const auto has = [&](const char* line) { return page.find(std::string("\n") + line + "\n") != std::string::npos; };
  CHECK(has("# TYPE sluice_request_duration_seconds histogram"));
  CHECK(has("sluice_request_duration_seconds_bucket{route=\"users\",le=\"0.000032\"} 2"));
  CHECK(has("sluice_request_duration_seconds_bucket{route=\"users\",le=\"0.000064\"} 3"));
  CHECK(has("sluice_request_duration_seconds_bucket{route=\"users\",le=\"0.000128\"} 4"));
  CHECK(has("sluice_request_duration_seconds_bucket{route=\"users\",le=\"134.217728\"} 4"));
  CHECK(has("sluice_request_duration_seconds_bucket{route=\"users\",le=\"+Inf\"} 5"));
  CHECK(has("sluice_request_duration_seconds_sum{route=\"users\"} 200.000164"));
  CHECK(has("sluice_request_duration_seconds_count{route=\"users\"} 5"));
  CHECK(std::count(page.begin(), page.end(), '\n') == 28);
}

TEST_CASE("label values are escaped") {
  Registry registry(1);
  registry.intern(Family::downstream_accepted, {"a\"b\\c\nd"});
  CHECK(prometheus_text(registry).find("{listener=\"a\\\"b\\\\c\\nd\"} 0\n") != std::string::npos);
}

TEST_CASE("a reason is shown once something happened for it, and not before") {
  Registry registry(1);
  const SeriesId closed = registry.intern(Family::downstream_closed, {"public"});
  CHECK(prometheus_text(registry).empty());
  registry.shard(0).add(pick(closed, Reason::idle_timeout));
  const std::string page = prometheus_text(registry);
  CHECK(page.find("{listener=\"public\",reason=\"idle_timeout\"} 1\n") != std::string::npos);
  CHECK(std::count(page.begin(), page.end(), '\n') == 3);
}

TEST_CASE("a histogram is shown once it holds a value, even one of 0 us") {
  Registry registry(1);
  const SeriesId id = registry.intern(Family::request_duration, {"users"});
  CHECK(prometheus_text(registry).empty());
  registry.shard(0).observe(id, 0);
  CHECK(prometheus_text(registry).find("_count{route=\"users\"} 1\n") != std::string::npos);
}

void fill(Registry& registry) {
  for (size_t f = 0; f < static_cast<size_t>(Family::kCount); ++f) {
    const auto family = static_cast<Family>(f);
    std::vector<std::string_view> labels(row(family).label_count, "x \"y\"\\\n");
    if (!row(family).last_values.empty()) labels.back() = row(family).last_values[1];
    const SeriesId id = registry.intern(family, labels);
    if (row(family).kind == Kind::histogram) {
      registry.shard(0).observe(id, 77);
    } else {
      registry.shard(0).add(id, 77);
    }
  }
}

TEST_CASE("promtool accepts the page of every family there is") {
  if (std::system("command -v promtool >/dev/null") != 0) {
    WARN("promtool is not installed; nothing was checked");
    return;
  }
  Registry registry(1);
  fill(registry);
  FILE* promtool = popen("promtool check metrics 2>&1", "w");
  REQUIRE(promtool != nullptr);
  const std::string page = prometheus_text(registry);
  CHECK(std::fwrite(page.data(), 1, page.size(), promtool) == page.size());
  CHECK(pclose(promtool) == 0);
}

TEST_CASE("the process states what it costs") {
  Registry registry(1);
  ProcessFigures process(registry, "1.2.3");
  const auto value = [&](Family family) { return registry.value(registry.intern(family)); };
  CHECK(value(Family::process_resident) > 1 << 20);
  CHECK(value(Family::process_max_fds) >= value(Family::process_open_fds));
  CHECK(registry.value(registry.intern(Family::build_info, {"1.2.3"})) == 1);
  const uint64_t before = value(Family::process_open_fds);
  FILE* file = std::fopen("/dev/null", "r");
  process.refresh();
  std::fclose(file);
  CHECK(value(Family::process_open_fds) == before + 1);
}

}  // namespace
}  // namespace sluice::stats
