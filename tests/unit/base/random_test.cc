#include "base/random.h"

#include <catch2/catch.hpp>

#include "base/unique_fd.h"

using namespace sluice;

TEST_CASE("the same seed gives the same numbers", "[random]") {
  Random a(42), b(42), c(43);
  const uint64_t first = a.next();
  CHECK(b.next() == first);
  CHECK(c.next() != first);
}

TEST_CASE("below stays below its bound and reaches every number", "[random]") {
  Random random(1);
  unsigned seen[7] = {};
  for (int i = 0; i < 7000; ++i) {
    const uint32_t number = random.below(7);
    REQUIRE(number < 7);
    ++seen[number];
  }
  for (const unsigned count : seen) CHECK(count > 800);
  CHECK(random.below(1) == 0);
}

TEST_CASE("a descriptor is closed by its last owner", "[unique_fd]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  UniqueFd read_end(ends[0]);
  {
    UniqueFd write_end(ends[1]);
    UniqueFd moved = std::move(write_end);
    CHECK_FALSE(write_end);  // NOLINT: moved from on purpose
    CHECK(moved.get() == ends[1]);
  }
  char byte;
  CHECK(::read(read_end.get(), &byte, 1) == 0);  // the other end is closed
}
