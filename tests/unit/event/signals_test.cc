#include "event/signals.h"

#include <catch2/catch.hpp>
#include <csignal>
#include <vector>

using namespace sluice;
using event::Loop;
using event::Signals;

TEST_CASE("signals are delivered on the loop's thread by number", "[signals]") {
  Loop loop;
  std::vector<int> seen;
  Signals signals(loop, {SIGHUP, SIGUSR1}, [&](int number) {
    seen.push_back(number);
    if (seen.size() == 2) return loop.stop();
    ::raise(SIGUSR1);
  });
  ::raise(SIGHUP);
  loop.run();
  CHECK(seen == std::vector<int>{SIGHUP, SIGUSR1});
}
