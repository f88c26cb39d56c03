#include "snapshot/spec.h"

#include <catch2/catch.hpp>
#include <cstddef>

using namespace sluice::snapshot;

TEST_CASE("what a request reads of its route stands in one cache line, and what its answer reads in the next") {
  const RouteSpec route;
  const auto offset = [&](const auto& member) {
    return reinterpret_cast<const std::byte*>(&member) - reinterpret_cast<const std::byte*>(&route);
  };
  CHECK(alignof(RouteSpec) == 64);
  CHECK(offset(route.action) == 0);
  CHECK(offset(route.body_limit) + static_cast<ptrdiff_t>(sizeof(route.body_limit)) <= 64);
  CHECK(offset(route.name) == 64);
  CHECK(offset(route.files) + static_cast<ptrdiff_t>(sizeof(route.files)) <= 128);
}

TEST_CASE("a rare part reads as its defaults until it is made") {
  RouteSpec route;
  CHECK_FALSE(route.respond);
  CHECK(route.respond->status == 200);
  CHECK_FALSE(route.respond);
  route.respond.make().status = 404;
  CHECK(route.respond);
  CHECK(route.respond->status == 404);
}

TEST_CASE("a copy of a route has rare parts of its own") {
  RouteSpec route;
  route.rewrite.make().strip_prefix = "/a";
  RouteSpec copy = route;
  copy.rewrite.make().strip_prefix = "/b";
  CHECK(route.rewrite->strip_prefix == "/a");
  route = copy;
  CHECK(route.rewrite->strip_prefix == "/b");
  CHECK(&*route.rewrite != &*copy.rewrite);
}
