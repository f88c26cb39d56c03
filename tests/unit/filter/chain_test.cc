// A pause that nobody ends. The plugin is part of this test, and time is the wheel's: the loop's own clock does not move.
#include "filter/chain.h"

#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <optional>

#include "../loop_driver.h"

namespace sluice::filter {
namespace {

/// What the plugin does, and what came of it.
struct Plugin {
  std::optional<Phase> pauses;
  uint64_t token = 0;  // of the last pause
  int completed = 0;
} plugin;

sluice_verdict enter(sluice_filter* filter, Phase phase) {
  if (plugin.pauses != phase) return SLUICE_CONTINUE;
  plugin.token = host_table().token(filter);
  return SLUICE_PAUSE;
}

constexpr sluice_plugin kTable{
    .struct_size = sizeof(sluice_plugin),
    .abi_version = SLUICE_ABI_VERSION,
    .name = "slow",
    .version = "1",
    .configure = nullptr,
    .discard = nullptr,
    .start_worker = nullptr,
    .stop_worker = nullptr,
    .on_request_start = [](sluice_filter* filter) { return enter(filter, Phase::request_start); },
    .on_request = [](sluice_filter* filter) { return enter(filter, Phase::request); },
    .on_request_body = [](sluice_filter* filter, sluice_str, int) { return enter(filter, Phase::request_body); },
    .on_response = [](sluice_filter* filter) { return enter(filter, Phase::response); },
    .on_response_body = [](sluice_filter* filter, sluice_str, int) { return enter(filter, Phase::response_body); },
    .on_complete = [](sluice_filter*, const sluice_summary*) { ++plugin.completed; },
};

/// An exchange with one such plugin, on a loop of its own.
struct World final : Subject {
  World() {
    plugin = {};
    instance.name = "slow";
    WorkerInstance* const instances[] = {&worker};
    chain.add(instances);
  }

  Chain::Step run(Phase phase) {
    switch (phase) {
      case Phase::request_start: return chain.request_start();
      case Phase::request: return chain.request();
      case Phase::request_body: return chain.request_body("piece", false);
      case Phase::response: return chain.response();
      case Phase::response_body: return chain.response_body("piece", false);
      case Phase::complete: break;
    }
    FAIL("no such phase");
    return Chain::Step::next;
  }
  void advance(Millis passed) { loop.timers().advance(loop.now() + passed); }
  void resume() {
    host_table().resume(worker.handle(), plugin.token, SLUICE_CONTINUE);
    driver.turns(2);
  }

  // Subject
  std::string_view fact(sluice_fact) const override { return {}; }
  void report(sluice_progress&) const override {}
  bool param(std::string_view, std::string_view&) const override { return false; }
  http::HeaderMap* headers(sluice_side) override { return nullptr; }
  Arena& arena() override { return memory; }
  void write_response_body(std::string_view) override {}
  void outlive_client() override {}
  void on_resumed(Phase phase) override { resumed.push_back(phase); }

  event::Loop loop;
  test::Driver driver{loop};
  stats::Registry registry{1};
  Host host{loop, registry.shard(0)};
  Instance instance{std::make_shared<Module>(dlopen(nullptr, RTLD_NOW), kTable, FileIdentity{})};
  WorkerInstance worker{host, instance, {}};
  Arena memory{loop.blocks()};
  std::vector<Phase> resumed;
  Chain chain{host, *this};
};

constexpr Millis kMinute{60'000};
constexpr Millis kTick{20};

TEST_CASE("a plugin that never resumes is answered for after a minute, and its resume then leads nowhere") {
  const Phase phase =
      GENERATE(Phase::request_start, Phase::request, Phase::request_body, Phase::response, Phase::response_body);
  CAPTURE(static_cast<int>(phase));
  World world;
  if (phase >= Phase::response) REQUIRE(world.run(Phase::request) == Chain::Step::next);
  if (phase == Phase::response_body) REQUIRE(world.run(Phase::response) == Chain::Step::next);
  plugin.pauses = phase;
  REQUIRE(world.run(phase) == Chain::Step::wait);

  world.advance(kMinute - kTick);
  CHECK(world.resumed.empty());
  world.advance(kMinute + kTick);
  REQUIRE(world.resumed == std::vector{phase});
  REQUIRE(world.run(phase) == Chain::Step::respond);
  const Answer answer = world.chain.take_answer();
  CHECK(answer.status == 504);
  CHECK(answer.failure == Reason::plugin_timeout);

  world.resume();
  world.advance(3 * kMinute);
  CHECK(world.resumed == std::vector{phase});
  world.chain.complete({});
  CHECK(plugin.completed == 1);
  world.resume();
  CHECK(world.resumed == std::vector{phase});
}

TEST_CASE("a pause that was resumed in time costs nothing later") {
  World world;
  plugin.pauses = Phase::request;
  REQUIRE(world.run(Phase::request) == Chain::Step::wait);
  world.resume();
  REQUIRE(world.resumed == std::vector{Phase::request});
  REQUIRE(world.run(Phase::request) == Chain::Step::next);
  world.advance(2 * kMinute);
  CHECK(world.resumed.size() == 1);
}

TEST_CASE("a request's body and a response that both wait are both answered for") {
  World world;
  REQUIRE(world.run(Phase::request) == Chain::Step::next);
  plugin.pauses = Phase::request_body;
  REQUIRE(world.run(Phase::request_body) == Chain::Step::wait);
  plugin.pauses = Phase::response;
  REQUIRE(world.run(Phase::response) == Chain::Step::wait);
  world.advance(kMinute + kTick);  // the second one's minute begins by the loop's clock, so it is over too
  REQUIRE(world.resumed == std::vector{Phase::request_body, Phase::response});
  CHECK(world.run(Phase::request_body) == Chain::Step::respond);
  CHECK(world.run(Phase::response) == Chain::Step::respond);
  world.advance(4 * kMinute);
  CHECK(world.resumed.size() == 2);
}

}  // namespace
}  // namespace sluice::filter
