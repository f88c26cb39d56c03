#include "proxy/publication.h"

#include <catch2/catch.hpp>

namespace sluice::proxy {
namespace {

struct World {
  std::shared_ptr<const Publication> publish(const std::vector<std::string>& listeners,
                                             const std::shared_ptr<const Publication>& before = nullptr) {
    auto snapshot = std::make_shared<snapshot::Snapshot>();
    for (const std::string& name : listeners) snapshot->listeners.push_back({.name = name});
    std::string error;
    auto made = Publication::make(std::move(snapshot), registry, {}, before.get(), error);
    REQUIRE(error.empty());
    return made;
  }
  stats::Registry registry{1};
};

TEST_CASE("a listener keeps its slot, whatever its place") {
  World world;
  const auto first = world.publish({"a", "b"});
  const auto second = world.publish({"b", "c", "a"}, first);
  CHECK(second->slot_of(0) == first->slot_of(1));
  CHECK(second->slot_of(2) == first->slot_of(0));
  CHECK(second->slot_of(1) == 2);
}

TEST_CASE("a listener that is gone leaves its slot to others when no publication has it any more") {
  World world;
  auto first = world.publish({"a", "b"});
  auto second = world.publish({"b"}, first);
  CHECK(second->slot_of(0) == 1);
  auto third = world.publish({"b", "c"}, second);
  CHECK(third->slot_of(1) == 2);  // connections of "a" may still be there
  CHECK(world.publish({"a", "b"}, second)->slot_of(0) == 0);
  first.reset();
  const auto fourth = world.publish({"d", "b", "c"}, third);
  CHECK(fourth->slot_of(0) == 0);
  CHECK(fourth->slot_of(1) == 1);
  CHECK(fourth->slot_of(2) == 2);
}

TEST_CASE("a publication holds the series of its snapshot") {
  World world;
  auto made = world.publish({"a"});
  auto forget = [&world, now = MonoTime(Seconds(1000))]() mutable {
    world.registry.forget_unused(now);
    return world.registry.forget_unused(now += stats::Registry::kKeep);
  };
  CHECK(forget() == 0);
  CHECK(world.registry.find(stats::Family::downstream_accepted, {"a"}));
  made.reset();
  CHECK(forget() > 0);
  CHECK_FALSE(world.registry.find(stats::Family::downstream_accepted, {"a"}));
}

}  // namespace
}  // namespace sluice::proxy
