#include "proxy/log_ring.h"

#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "log_lines.h"

namespace sluice::proxy {
namespace {

using test::push;

bool rings(const LogBell& bell) {
  pollfd ready{bell.fd(), POLLIN, 0};
  return poll(&ready, 1, 0) == 1;
}

TEST_CASE("A ring is at least a page and a power of two") {
  LogBell bell;
  CHECK(LogRing(bell, 1).capacity() == 4096);
  CHECK(LogRing(bell, 5000).capacity() == 8192);
  CHECK(LogRing(bell).capacity() == size_t{1} << 20);
}

TEST_CASE("Lines come out in order and in one piece, also across the ring's end") {
  LogBell bell;
  LogRing ring(bell, 4096);
  std::string sent;
  std::string got;
  for (int i = 0; i < 1000; ++i) {  // some 30 laps
    const std::string line = "line " + std::to_string(i) + std::string(static_cast<size_t>(i % 200), 'x') + "\n";
    REQUIRE(push(ring, line));
    sent += line;
    if (i % 7 == 0) continue;
    const std::string_view bytes = ring.readable();
    const size_t part = i % 5 == 0 ? bytes.size() / 2 : bytes.size();  // a short write
    got += bytes.substr(0, part);
    ring.release(part);
  }
  got += ring.readable();
  CHECK(got == sent);
  CHECK(ring.dropped() == 0);
}

TEST_CASE("A ring takes its whole capacity, then drops and counts until it is drained") {
  LogBell bell;
  LogRing ring(bell, 4096);
  for (int i = 0; i < 4; ++i) REQUIRE(push(ring, std::string(1023, 'a') + "\n"));
  CHECK_FALSE(push(ring, "b\n"));
  CHECK_FALSE(push(ring, "b\n"));
  CHECK(ring.dropped() == 2);
  CHECK(ring.readable().size() == 4096);
  ring.release(2);
  CHECK(push(ring, "b\n"));
  CHECK_FALSE(push(ring, "b\n"));
  CHECK(ring.readable().substr(4092) == "a\nb\n");
}

TEST_CASE("A line larger than the ring is dropped, not awaited") {
  LogBell bell;
  LogRing ring(bell, 4096);
  CHECK(ring.reserve(4097) == nullptr);
  CHECK(ring.dropped() == 1);
}

// How many of the ring's pages are in memory.
size_t resident_pages(LogRing& ring) {
  std::vector<unsigned char> pages(ring.capacity() / 4096);
  REQUIRE(mincore(ring.reserve(1), ring.capacity(), pages.data()) == 0);
  return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

TEST_CASE("After a burst the ring's pages go back, once it is quiet and everything was read") {
  LogBell bell;
  LogRing ring(bell, 64 * 4096);
  const std::string line = std::string(4095, 'a') + "\n";
  for (int i = 0; i < 60; ++i) REQUIRE(push(ring, line));
  ring.sweep();  // there was a burst since the last one
  ring.sweep();  // there is something left to be read
  CHECK(ring.readable().size() == 60 * 4096);
  ring.release(59 * 4096);
  ring.sweep();
  CHECK(ring.readable() == line);
  CHECK(resident_pages(ring) >= 60);
  ring.release(4096);
  ring.sweep();
  CHECK(resident_pages(ring) == 0);
  REQUIRE(push(ring, line));
  CHECK(ring.readable() == line);
  ring.release(4096);
  ring.sweep();
  CHECK(resident_pages(ring) == 1);  // few pages are left alone
}

TEST_CASE("A worker calls the kernel only if the writer is idle") {
  LogBell bell;
  LogRing ring(bell, 4096);
  push(ring, "a\n");
  CHECK_FALSE(rings(bell));
  bell.set_idle(true);
  push(ring, "b\n");
  CHECK(rings(bell));
  bell.set_idle(false);
  bell.hush();
  push(ring, "c\n");
  CHECK_FALSE(rings(bell));
}

}  // namespace
}  // namespace sluice::proxy
