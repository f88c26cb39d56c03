#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "fake_host.h"

using namespace plugin_test;
using namespace std::chrono_literals;

namespace {

Value delay_of(const char* time, const char* jitter = "0ms", const char* percentage = "100%") {
  return map({{"time", time}, {"jitter", jitter}, {"percentage", percentage}});
}
Value abort_of(const char* percentage) { return map({{"status", "418"}, {"percentage", percentage}}); }

}  // namespace

TEST_CASE("fault: a request that is to fail is answered with the status of the configuration", "[fault]") {
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"abort", abort_of("100%")}}));
  FakeExchange exchange(plugin);
  CHECK(exchange.on_request() == SLUICE_RESPOND);
  CHECK(exchange.status == 418);
  CHECK(exchange.reason == "fault_injected");
  CHECK(host.counted("aborted") == 1);
  CHECK(host.counted("delayed") == 0);
}

TEST_CASE("fault: a request that is to wait goes on after its time, not before", "[fault]") {
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"delay", delay_of("200ms")}}));
  FakeExchange exchange(plugin);
  CHECK(exchange.on_request() == SLUICE_PAUSE);
  host.advance(199ms);
  CHECK_FALSE(exchange.resumed);
  host.advance(1ms);
  CHECK(exchange.resumed == SLUICE_CONTINUE);
  CHECK(exchange.status == 0);
  CHECK(host.counted("delayed") == 1);
  CHECK(host.counted("aborted") == 0);
}

TEST_CASE("fault: a request that both hit fails after its delay", "[fault]") {
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"delay", delay_of("200ms")}, {"abort", abort_of("100%")}}));
  FakeExchange exchange(plugin);
  CHECK(exchange.on_request() == SLUICE_PAUSE);
  CHECK(exchange.status == 0);
  host.advance(200ms);
  CHECK(exchange.resumed == SLUICE_RESPOND);
  CHECK(exchange.status == 418);
  CHECK(host.counted("aborted") == 1);
}

TEST_CASE("fault: jitter is added, up to its most", "[fault]") {
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"delay", delay_of("200ms", "100ms")}}));
  std::set<std::chrono::microseconds> waits;
  for (int i = 0; i < 200; ++i) {
    FakeExchange exchange(plugin);
    exchange.on_request();
    waits.insert(host.next_timer());
  }
  CHECK(*waits.begin() >= 200ms);
  CHECK(*waits.rbegin() <= 300ms);
  CHECK(*waits.rbegin() - *waits.begin() > 50ms);  // by chance not once in 10^40 times
}

TEST_CASE("fault: a share of the requests is hit", "[fault]") {
  const auto [share, least, most] = GENERATE(table<const char*, uint64_t, uint64_t>({
      {"0%", 0, 0},
      {"30%", 200, 400},  // seven standard deviations
      {"100%", 1000, 1000},
  }));
  CAPTURE(share);
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"delay", delay_of("1ms", "0ms", share)}, {"abort", abort_of(share)}}));
  for (int i = 0; i < 1000; ++i) {
    FakeExchange exchange(plugin);
    exchange.on_request();
    host.advance(1ms);
  }
  for (const std::string event : {"delayed", "aborted"}) {
    CAPTURE(event);
    CHECK(host.counted(event) >= least);
    CHECK(host.counted(event) <= most);
  }
}

TEST_CASE("fault: requests without the header are spared", "[fault]") {
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"abort", abort_of("100%")}, {"only_with_header", "X-Chaos"}}));
  FakeExchange spared(plugin);
  CHECK(spared.on_request() == SLUICE_CONTINUE);
  FakeExchange meant(plugin, {{"x-chaos", ""}});
  CHECK(meant.on_request() == SLUICE_RESPOND);
  CHECK(host.counted("aborted") == 1);
}

TEST_CASE("fault: nobody waits for a client that has left", "[fault]") {
  FakeHost host;
  LoadedPlugin plugin(host, "fault", map({{"delay", delay_of("200ms")}}));
  {
    FakeExchange exchange(plugin);
    exchange.on_request();
    CHECK(host.timers() == 1);
  }
  CHECK(host.timers() == 0);
}

TEST_CASE("fault: what could not work is refused", "[fault]") {
  using Errors = std::vector<std::string>;
  const auto errors = [](Value config) { return errors_of("fault", std::move(config)); };
  CHECK(errors(map({})) == Errors{"neither \"delay\" nor \"abort\" is there: it would do nothing"});
  CHECK(errors(map({{"abort", map({{"status", "503"}})}})) == Errors{"abort: \"percentage\" is missing"});
  CHECK(errors(map({{"delay", map({{"percentage", "5%"}})}})) == Errors{"delay: \"time\" is missing"});
  CHECK(errors(map({{"delay", "1s"}})) == Errors{"delay: a map with keys is expected"});
  // Together they stay below the longest pause that the gateway grants.
  CHECK(errors(map({{"delay", delay_of("25s", "25s")}})).empty());
  CHECK(errors(map({{"delay", delay_of("26s", "26s")}})).size() == 2);
  CHECK(errors(map({{"abort", map({{"status", "200"}, {"percentage", "5%"}})}})).size() == 1);
  CHECK(errors(map({{"abort", abort_of("5%")}, {"only_with_header", "a b"}})) ==
        Errors{"only_with_header: the name of a header is expected"});
}
