#include "event/loop.h"

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace sluice;
using event::Deferred;
using event::Loop;
using event::Timer;

namespace {
// Says when it dies, and may hand over another one then.
struct Noted : Deferred {
  Noted(std::string its_label, std::vector<std::string>& book) : label(std::move(its_label)), notes(book) {}
  ~Noted() override {
    notes.push_back(label);
    if (then) then();
  }
  std::string label;
  std::vector<std::string>& notes;
  std::function<void()> then;
};
}  // namespace

TEST_CASE("letters run on the loop's thread in the order posted", "[loop]") {
  Loop loop;
  std::vector<int> seen;
  std::thread::id where;
  std::thread poster([&] {
    for (int i = 0; i < 1000; ++i) {
      loop.post([&seen, &where, i] {
        seen.push_back(i);
        where = std::this_thread::get_id();
      });
    }
    loop.stop();
  });
  loop.run();
  poster.join();
  REQUIRE(seen.size() == 1000);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(where == std::this_thread::get_id());
}

TEST_CASE("letters from many threads arrive, each thread's in its order", "[loop]") {
  Loop loop;
  constexpr int kThreads = 4;
  constexpr int kLetters = 500;
  std::vector<std::vector<int>> seen(kThreads);
  int left = kThreads * kLetters;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kLetters; ++i) {
        loop.post([&, t, i] {
          seen[t].push_back(i);
          if (--left == 0) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& thread : threads) thread.join();
  for (const auto& of_thread : seen) {
    CHECK(of_thread.size() == kLetters);
    CHECK(std::is_sorted(of_thread.begin(), of_thread.end()));
  }
}

TEST_CASE("a stop that comes before run is not lost", "[loop]") {
  Loop loop;
  loop.stop();
  loop.run();
  SUCCEED("run returned");
}

TEST_CASE("a letter posted after the stop is dropped and freed", "[loop]") {
  Loop loop;
  loop.post([&] { loop.stop(); });
  loop.run();
  auto token = std::make_shared<int>(1);
  bool ran = false;
  loop.post([&ran, token] { ran = true; });
  CHECK(token.use_count() == 1);
  CHECK_FALSE(ran);
}

TEST_CASE("letters that never ran are freed with the loop", "[loop]") {
  auto token = std::make_shared<int>(1);
  {
    Loop loop;
    loop.post([token] {});
    CHECK(token.use_count() == 2);
  }
  CHECK(token.use_count() == 1);
}

TEST_CASE("a loop can run again after a stop", "[loop]") {
  Loop loop;
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    Timer timer(
        loop.timers(), [](void* self) { static_cast<Loop*>(self)->stop(); }, &loop);
    timer.set(loop.now());
    loop.run();
    ++runs;
  }
  CHECK(runs == 3);
}

TEST_CASE("deferred objects die at the end of the turn, in the order handed over", "[loop]") {
  Loop loop;
  std::vector<std::string> notes;
  loop.post([&] {
    loop.defer_delete(std::make_unique<Noted>("first", notes));
    loop.at_turn_end([](void* raw) { static_cast<std::vector<std::string>*>(raw)->push_back("second"); }, &notes);
    loop.defer_delete(std::make_unique<Noted>("third", notes));
    CHECK(notes.empty());
    loop.post([&] {
      CHECK(notes == std::vector<std::string>{"first", "second", "third"});
      loop.stop();
    });
  });
  loop.run();
  CHECK(notes.size() == 3);
}

TEST_CASE("objects deferred by destructors of the sweep are freed in the same sweep", "[loop]") {
  Loop loop;
  std::vector<std::string> notes;
  loop.post([&] {
    auto outer = std::make_unique<Noted>("outer", notes);
    outer->then = [&] {
      auto inner = std::make_unique<Noted>("inner", notes);
      inner->then = [&] { loop.defer_delete(std::make_unique<Noted>("innermost", notes)); };
      loop.defer_delete(std::move(inner));
    };
    loop.defer_delete(std::move(outer));
    loop.defer_delete(std::make_unique<Noted>("sibling", notes));
    loop.post([&] {
      CHECK(notes == std::vector<std::string>{"outer", "sibling", "inner", "innermost"});
      loop.stop();
    });
  });
  loop.run();
  CHECK(notes.size() == 4);
}

TEST_CASE("what a timer's callback defers does not wait for the next wake-up", "[loop]") {
  Loop loop;
  struct Scene {
    Loop& loop;
    std::vector<std::string> notes{};
  } scene{loop};
  Timer timer(
      loop.timers(),
      [](void* raw) {
        auto& self = *static_cast<Scene*>(raw);
        auto last = std::make_unique<Noted>("timer's", self.notes);
        last->then = [&self] { self.loop.stop(); };  // nothing else would ever end this loop
        self.loop.defer_delete(std::move(last));
      },
      &scene);
  timer.set(loop.now());
  loop.run();
  CHECK(scene.notes == std::vector<std::string>{"timer's"});
}

TEST_CASE("what is deferred outside of run is freed with the loop", "[loop]") {
  std::vector<std::string> notes;
  {
    Loop loop;
    loop.defer_delete(std::make_unique<Noted>("outside", notes));
  }
  CHECK(notes == std::vector<std::string>{"outside"});
}

TEST_CASE("timers fire in the order of their deadlines and never early", "[loop]") {
  Loop loop;
  struct Scene {
    Loop& loop;
    std::vector<int> order{};
    MonoTime due{};
  } scene{loop};
  Timer second(
      loop.timers(),
      [](void* raw) {
        auto& self = *static_cast<Scene*>(raw);
        CHECK(MonoClock::now() >= self.due);
        CHECK(self.loop.now() >= self.due);
        self.order.push_back(2);
        self.loop.stop();
      },
      &scene);
  Timer first(
      loop.timers(), [](void* raw) { static_cast<Scene*>(raw)->order.push_back(1); }, &scene);
  scene.due = loop.now() + Millis(40);
  second.set(scene.due);
  first.set(loop.now() + Millis(10));
  loop.run();
  CHECK(scene.order == std::vector<int>{1, 2});
}

TEST_CASE("an idle loop sleeps: once its last timer fired, it makes no turn", "[loop]") {
  Loop loop;
  struct Scene {
    Loop& loop;
    uint64_t turns = 0;
  } scene{loop};
  Timer timer(
      loop.timers(),
      [](void* raw) {
        auto& self = *static_cast<Scene*>(raw);
        self.turns = self.loop.turns();
      },
      &scene);
  timer.set(loop.now());
  std::thread alarm_clock([&loop] {
    Loop other;
    struct Both {
      Loop& idle;
      Loop& other;
    } both{loop, other};
    Timer ring(
        other.timers(),
        [](void* raw) {
          static_cast<Both*>(raw)->idle.stop();
          static_cast<Both*>(raw)->other.stop();
        },
        &both);
    ring.set(other.now() + Millis(60));
    other.run();
  });
  loop.run();
  alarm_clock.join();
  REQUIRE(scene.turns > 0);
  CHECK(loop.turns() - scene.turns <= 2);
}

TEST_CASE("libuv's own timers and handles are served", "[loop]") {
  Loop loop;
  auto* raw = new uv_timer_t;
  REQUIRE(uv_timer_init(loop.uv(), raw) == 0);
  raw->data = &loop;
  event::Owned<uv_timer_t> timer(raw);
  uv_timer_start(
      raw, [](uv_timer_t* self) { static_cast<Loop*>(self->data)->stop(); }, 5, 0);
  loop.run();
  SUCCEED("the timer stopped the loop");
}

TEST_CASE("the clocks are read once per turn, after the wait", "[loop]") {
  Loop loop;
  MonoTime before_wait = loop.now();
  std::thread poster;
  loop.post([&] {
    before_wait = loop.now();
    poster = std::thread([&] {
      while (MonoClock::now() - before_wait < Millis(5)) std::this_thread::yield();
      loop.post([&] {
        const MonoTime now = loop.now();
        CHECK(now - before_wait >= Millis(5));
        while (MonoClock::now() - now < Millis(1)) {
        }
        CHECK(loop.now() == now);
        loop.refresh_now();
        CHECK(loop.now() - now >= Millis(1));
        CHECK(loop.wall() > Micros(0));
        loop.stop();
      });
    });
  });
  loop.run();
  poster.join();
}
