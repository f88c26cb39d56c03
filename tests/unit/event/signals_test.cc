#include "event/signals.h"

#include <unistd.h>

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

TEST_CASE("a signal that comes when they are not waited for any more ends nothing", "[signals]") {
  Loop loop;
  {
    Signals signals(loop, {SIGUSR1}, [](int) {});
  }
  ::kill(::getpid(), SIGUSR1);
  sigset_t waiting;
  sigpending(&waiting);
  CHECK(sigismember(&waiting, SIGUSR1) == 1);

  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGUSR1);
  int number = 0;
  CHECK(sigwait(&ours, &number) == 0);
  pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
}
