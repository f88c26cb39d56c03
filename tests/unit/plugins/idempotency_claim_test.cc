// Claim on a host whose store and clock are the test: each command is answered by hand, in any order.
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "idempotency/claim.h"

using namespace sluice;
using namespace sluice::idempotency;

namespace {

struct Asked {
  sluice_operation operation;
  std::string value, expected;
  sluice_store_done done;
  void* user;
};

struct World {
  World() {
    table.store = [](sluice_worker* on, uint32_t, const sluice_store_command* command, sluice_store_done done,
                     void* user) {
      of(on).asked.push_back({command->operation, std::string(to_view(command->value)),
                              std::string(to_view(command->expected)), done, user});
      return uint64_t{1};
    };
    table.timer = [](sluice_worker* on, uint64_t, sluice_timer_done done, void* user) {
      of(on).timer = [done, user] { done(user); };
      return uint64_t{1};
    };
    table.cancel = [](sluice_worker*, uint64_t) {};
    table.wall_us = [](sluice_worker*) { return uint64_t{0}; };
    table.count = [](sluice_worker* on, uint32_t counter, uint64_t) { ++of(on).counts[counter]; };
    host = &table;
  }
  ~World() { host = nullptr; }

  static World& of(sluice_worker* on) { return *static_cast<World*>(on->state); }

  static Config default_config() {
    sluice_setup setup{};
    setup.store = [](sluice_setup*, const sluice_node*) { return 0u; };
    setup.counter = [](sluice_setup*, sluice_str name) { return to_view(name) == "not_stored" ? 1u : 0u; };
    Setup wrapped(&setup);
    return Config(wrapped);
  }

  /// What the store says to command number `which`.
  void answer(size_t which, sluice_outcome outcome, std::string_view value = {}) {
    const sluice_store_result result{
        .struct_size = sizeof result, .outcome = outcome, .value = to_abi(value), .reason = {}};
    const Asked command = asked.at(which);
    command.done(command.user, &result);
  }

  sluice_host table{};
  const Config config = default_config();
  sluice_worker worker{sizeof(sluice_worker), &config, this};
  std::vector<Asked> asked;
  std::function<void()> timer;
  std::map<uint32_t, int> counts;
  Claims claims{WorkerHandle(&worker)};
};

struct Owner final : Claim::User {
  void on_claimed(Claim::Answer answer, std::string_view) override { is_mine = answer == Claim::Answer::mine; }
  void on_settled() override { ++settled; }
  bool is_mine = false;
  int settled = 0;
};

}  // namespace

TEST_CASE("a result takes the place of a claim that its own renewal put back") {
  World world;
  Owner owner;
  Claim& claim = world.claims.take();
  claim.begin(owner, "prefix:", "place", Digest{});
  claim.ask();
  world.answer(0, SLUICE_DONE);
  REQUIRE(owner.is_mine);
  world.timer();
  world.answer(1, SLUICE_ABSENT);  // the store lost the claim
  REQUIRE(world.asked.size() == 3);
  const std::string again = world.asked[2].value;  // on its way
  claim.begin_result(201);
  claim.complete(State::done, std::nullopt);
  world.answer(3, SLUICE_ABSENT);
  REQUIRE(world.asked.size() == 5);
  CHECK(world.asked[4].operation == SLUICE_PUT_IF_ABSENT);
  world.answer(4, SLUICE_FOUND, again);  // it came first
  REQUIRE(world.asked.size() == 6);
  CHECK(owner.settled == 0);
  CHECK(world.asked[5].operation == SLUICE_REPLACE_IF);
  CHECK(again.starts_with(world.asked[5].expected));
  CHECK(world.asked[5].value == world.asked[4].value);
  world.answer(5, SLUICE_DONE);
  CHECK(owner.settled == 1);
  CHECK(world.counts[world.config.not_stored] == 0);
  claim.leave(true);
}

TEST_CASE("a result that was stored, though its answer was lost, is not stored again") {
  World world;
  Owner owner;
  Claim& claim = world.claims.take();
  claim.begin(owner, "prefix:", "place", Digest{});
  claim.ask();
  world.answer(0, SLUICE_DONE);
  claim.begin_result(201);
  claim.complete(State::done, std::nullopt);
  world.answer(1, SLUICE_ABSENT);
  world.answer(2, SLUICE_FOUND, world.asked[2].value);
  CHECK(world.asked.size() == 3);
  CHECK(owner.settled == 1);
  claim.leave(true);
}
