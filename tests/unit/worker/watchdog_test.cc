#include "worker/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

#include "base/assert.h"
#include "base/unique_fd.h"
#include "worker/thread_stack.h"

using namespace sluice;
using worker::Watchdog;

// ThreadSanitizer keeps signals back while a thread is blocked.
#if defined(__SANITIZE_THREAD__)
#define SLUICE_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLUICE_TSAN
#endif
#endif

namespace {

constexpr Watchdog::Options kQuick{.period = Millis(20), .patience = Millis(60)};

// A thread whose loop turns, until it is blocked in a read of a pipe.
class Turner {
 public:
  Turner() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    read_end_.reset(ends[0]);
    write_end_.reset(ends[1]);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Turner() {
    release();
    loop_.stop();
    thread_.join();
  }
  void block() {
    loop_.post([fd = read_end_.get()] {
      char byte;
      while (::read(fd, &byte, 1) < 0) {
      }
    });
  }
  void release() { SL_ASSERT(::write(write_end_.get(), "x", 1) == 1); }
  Watchdog::Watched watched(std::string name) { return {&loop_, thread_.native_handle(), std::move(name)}; }

 private:
  UniqueFd read_end_;
  UniqueFd write_end_;
  event::Loop loop_;
  std::thread thread_;
};

// The control thread's loop with a watchdog in it, which runs until a condition holds; checked every few milliseconds.
struct Control {
  explicit Control(std::vector<Watchdog::Watched> watched)
      : dog(loop, std::move(watched), registry, kQuick, [this] { ++fed; }),
        look_(
            loop.timers(), [](void* self) { static_cast<Control*>(self)->look(); }, this) {}

  bool run_until(std::function<bool()> condition) {
    condition_ = std::move(condition);
    deadline_ = MonoClock::now() + Seconds(20);
    look_.set(loop.now());
    loop.run();
    return condition_();
  }
  uint64_t stalls() const { return registry.value(*registry.find(stats::Family::worker_stalls, {})); }

  event::Loop loop;
  stats::Registry registry{1};
  unsigned fed = 0;
  Watchdog dog;

 private:
  void look() {
    if (condition_() || loop.now() > deadline_) return loop.stop();
    look_.set(loop.now() + Millis(10));
  }
  std::function<bool()> condition_;
  MonoTime deadline_;
  event::Timer look_;
};

bool contains(const std::vector<std::string>& lines, std::string_view text) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("while every loop turns, the watchdog is fed each period, though no loop has any work", "[watchdog]") {
  Turner first;
  Turner second;
  Control control({first.watched("first"), second.watched("second")});
  CHECK(control.run_until([&] { return control.fed >= 5; }));
  CHECK(control.stalls() == 0);
}

TEST_CASE("one stuck loop of two ends the feeding, is counted once, and feeding goes on when it turns again",
          "[watchdog]") {
  Turner turning;
  Turner stuck;
  Control control({turning.watched("turning"), stuck.watched("stuck")});
  REQUIRE(control.run_until([&] { return control.fed >= 2; }));
  stuck.block();
  REQUIRE(control.run_until([&] { return control.stalls() == 1; }));
  const unsigned fed = control.fed;
  // Three periods of silence on, it is still one stall, and nothing was fed.
  const MonoTime later = MonoClock::now() + 3 * kQuick.patience;
  REQUIRE(control.run_until([&] { return MonoClock::now() > later; }));
  CHECK(control.stalls() == 1);
  CHECK(control.fed == fed);
  stuck.release();
  CHECK(control.run_until([&] { return control.fed > fed; }));
}

#ifndef SLUICE_TSAN
TEST_CASE("the stack of a blocked thread names what it is blocked in", "[watchdog]") {
  worker::prepare_thread_stacks();
  Turner stuck;
  stuck.block();
  // Until the letter runs the thread may be anywhere.
  std::vector<std::string> stack;
  const MonoTime deadline = MonoClock::now() + Seconds(20);
  do {
    stack = worker::stack_of(stuck.watched("stuck").thread);
  } while (!contains(stack, " read") && MonoClock::now() < deadline);
  INFO(stack.front());
  CHECK(contains(stack, " read"));
  CHECK(contains(stack, "unit_worker"));
  CHECK(stack.back().starts_with("names and lines: addr2line"));
}
#endif

TEST_CASE("a thread that blocks the signal costs one second and is told so", "[watchdog]") {
  worker::prepare_thread_stacks();
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread deaf([fd = ends[0]] {
    char byte;
    (void)!::read(fd, &byte, 1);
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const auto stack = worker::stack_of(deaf.native_handle());
  REQUIRE(::write(ends[1], "x", 1) == 1);
  deaf.join();
  ::close(ends[0]);
  ::close(ends[1]);
  REQUIRE(stack.size() == 1);
  CHECK(stack[0].starts_with("no stack:"));
}
