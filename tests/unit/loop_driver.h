// Driver: a real event loop, driven by a test on its own thread until a condition holds.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>

#include "base/unique_fd.h"
#include "event/loop.h"
#include "event/stream.h"

namespace sluice::test {

/// Runs a loop turn by turn: a socket that is always readable wakes it, and looks at the condition.
class Driver final : private event::Stream::Handler {
 public:
  explicit Driver(event::Loop& loop) : loop_(loop) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    other_end_.reset(ends[1]);
    REQUIRE(::write(ends[1], "x", 1) == 1);
    REQUIRE(waker_.open(loop, ends[0], *this));
    waker_.want_read(false);
  }

  /// False if the condition did not come true in time.
  [[nodiscard]] bool until(std::function<bool()> condition, Seconds within = Seconds(10)) {
    condition_ = std::move(condition);
    deadline_ = MonoClock::now() + within;
    waker_.want_read(true);
    loop_.run();
    waker_.want_read(false);
    return condition_();
  }
  /// A few whole turns, so that everything that is ready now has been seen.
  void turns(int count) {
    REQUIRE(until([&count] { return count-- <= 0; }));
  }

 private:
  void on_readable() override {
    if (condition_() || MonoClock::now() > deadline_) loop_.stop();
  }
  void on_writable() override {}
  void on_error() override {}

  event::Loop& loop_;
  UniqueFd other_end_;
  event::Stream waker_;
  std::function<bool()> condition_;
  MonoTime deadline_;
};

}  // namespace sluice::test
