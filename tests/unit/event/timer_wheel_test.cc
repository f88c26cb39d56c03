#include "event/timer_wheel.h"

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <random>
#include <vector>

using namespace sluice;
using event::Timer;
using event::TimerWheel;

namespace {
constexpr int64_t kTickMicros = TimerWheel::kTick.count();

// A timer that counts, remembers when it fired, and may do something then.
struct Alarm {
  explicit Alarm(TimerWheel& of) : wheel(of), timer(of, &Alarm::fire, this) {}
  static void fire(void* raw) {
    auto& self = *static_cast<Alarm*>(raw);
    ++self.fired;
    CHECK_FALSE(self.timer.is_set());
    if (self.then) self.then();
  }
  /// How often, once the wheel is at `now`.
  int fired_by(MonoTime now) {
    wheel.advance(now);
    return fired;
  }
  TimerWheel& wheel;
  Timer timer;
  int fired = 0;
  std::function<void()> then{};
};

struct Scene {
  MonoTime start{Seconds(1000)};
  TimerWheel wheel{start};
  MonoTime at(Micros after) const { return start + after; }
};
}  // namespace

TEST_CASE("a timer fires at its deadline, late by less than a tick and never early", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  const auto deadline = GENERATE(1, 9'999, 10'000, 10'001, 25'500, 2'559'999, 2'560'000, 2'560'001, 655'360'000);
  CAPTURE(deadline);
  alarm.timer.set(scene.at(Micros(deadline)));
  CHECK(alarm.fired_by(scene.at(Micros(deadline - 1))) == 0);
  CHECK(alarm.fired_by(scene.at(Micros(deadline + kTickMicros - 1))) == 1);
  CHECK(alarm.fired_by(scene.at(Micros(deadline) + Seconds(10))) == 1);
}

TEST_CASE("a deadline in the past fires at the next tick", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.timer.set(scene.start - Seconds(5));
  CHECK(alarm.fired_by(scene.at(TimerWheel::kTick)) == 1);
}

TEST_CASE("timers on both sides of every cascade border fire at their own tick", "[wheel]") {
  // The wheel starts at awkward places of its levels, too.
  const int64_t start_tick = GENERATE(1, 254, 255, 256, 257, 65'534, 65'535, 65'536, 65'537, 16'777'215, 16'777'216);
  const MonoTime start(TimerWheel::kTick * start_tick);
  TimerWheel wheel(start);
  for (const int64_t ahead :
       {1, 2, 254, 255, 256, 257, 511, 512, 513, 65'279, 65'280, 65'281, 65'535, 65'536, 65'537, 131'072}) {
    CAPTURE(start_tick, ahead);
    TimerWheel fresh(start);
    Alarm alarm(fresh);
    alarm.timer.set(start + TimerWheel::kTick * ahead);
    fresh.advance(start + TimerWheel::kTick * ahead - Micros(1));
    REQUIRE(alarm.fired == 0);
    fresh.advance(start + TimerWheel::kTick * ahead);
    REQUIRE(alarm.fired == 1);
    REQUIRE_FALSE(fresh.next_wake().has_value());
  }
}

TEST_CASE("a deadline past the horizon of two days is kept", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  const auto far = std::chrono::hours(24 * 30);
  alarm.timer.set(scene.at(far));
  CHECK(alarm.fired_by(scene.at(far - TimerWheel::kTick)) == 0);
  CHECK(alarm.fired_by(scene.at(far + TimerWheel::kTick)) == 1);
}

TEST_CASE("a cancelled timer does not fire and may be set again", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.timer.set(scene.at(Millis(50)));
  CHECK(alarm.timer.is_set());
  alarm.timer.cancel();
  CHECK_FALSE(alarm.timer.is_set());
  scene.wheel.advance(scene.at(Millis(40)));
  alarm.timer.set(scene.at(Millis(80)));
  CHECK(alarm.fired_by(scene.at(Millis(79))) == 0);
  CHECK(alarm.fired_by(scene.at(Millis(80))) == 1);
}

TEST_CASE("a timer moved later stays filed where it was, and fires at the later time only", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.timer.set(scene.at(Millis(100)));
  const auto wake = scene.wheel.next_wake();
  for (int i = 1; i <= 50; ++i) alarm.timer.set(scene.at(Millis(100 + i * 100)));
  CHECK(scene.wheel.next_wake() == wake);
  CHECK(alarm.fired_by(scene.at(Millis(5090))) == 0);
  CHECK(alarm.fired_by(scene.at(Millis(5100))) == 1);
}

TEST_CASE("a timer moved earlier fires at the earlier time", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.timer.set(scene.at(Seconds(60)));
  alarm.timer.set(scene.at(Millis(30)));
  CHECK(alarm.fired_by(scene.at(Millis(30))) == 1);
}

TEST_CASE("a destroyed timer leaves the wheel", "[wheel]") {
  Scene scene;
  auto alarm = std::make_unique<Alarm>(scene.wheel);
  alarm->timer.set(scene.at(Millis(30)));
  alarm.reset();
  CHECK_FALSE(scene.wheel.next_wake().has_value());
  scene.wheel.advance(scene.at(Seconds(1)));
}

TEST_CASE("a callback may set its own timer again without being called twice in one advance", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.then = [&] { alarm.timer.set(scene.start); };
  alarm.timer.set(scene.start);
  CHECK(alarm.fired_by(scene.at(TimerWheel::kTick)) == 1);
  CHECK(alarm.fired_by(scene.at(TimerWheel::kTick * 2)) == 2);
}

TEST_CASE("a callback may set a timer a whole turn of the wheel ahead", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.then = [&] {
    if (alarm.fired == 1) alarm.timer.set(scene.at(TimerWheel::kTick * 257));
  };
  alarm.timer.set(scene.at(TimerWheel::kTick));
  CHECK(alarm.fired_by(scene.at(TimerWheel::kTick * 256)) == 1);
  CHECK(alarm.fired_by(scene.at(TimerWheel::kTick * 257)) == 2);
}

TEST_CASE("a callback may cancel, move and destroy timers that are due in the same tick", "[wheel]") {
  Scene scene;
  Alarm first(scene.wheel), cancelled(scene.wheel), moved(scene.wheel);
  auto destroyed = std::make_unique<Alarm>(scene.wheel);
  auto itself = std::make_unique<Alarm>(scene.wheel);
  first.then = [&] {
    cancelled.timer.cancel();
    moved.timer.set(scene.at(Millis(50)));
    destroyed.reset();
  };
  itself->then = [&] { std::exchange(itself, nullptr).reset(); };
  for (Timer* timer : {&first.timer, &cancelled.timer, &moved.timer, &destroyed->timer, &itself->timer}) {
    timer->set(scene.at(Millis(10)));
  }
  scene.wheel.advance(scene.at(Millis(10)));
  CHECK(first.fired == 1);
  CHECK(cancelled.fired == 0);
  CHECK(moved.fired == 0);
  CHECK(itself == nullptr);
  scene.wheel.advance(scene.at(Millis(50)));
  CHECK(moved.fired == 1);
  CHECK(cancelled.fired == 0);
}

TEST_CASE("next_wake is never after the earliest deadline's tick", "[wheel]") {
  Scene scene;
  Alarm near(scene.wheel), far(scene.wheel);
  CHECK_FALSE(scene.wheel.next_wake().has_value());
  far.timer.set(scene.at(Seconds(100)));
  REQUIRE(scene.wheel.next_wake().has_value());
  CHECK(*scene.wheel.next_wake() <= scene.at(Seconds(100)));
  near.timer.set(scene.at(Millis(20)));
  CHECK(*scene.wheel.next_wake() == scene.at(Millis(20)));
}

TEST_CASE("the owner is told only when the next wake becomes earlier", "[wheel]") {
  Scene scene;
  int told = 0;
  scene.wheel.on_earlier([](void* count) { ++*static_cast<int*>(count); }, &told);
  Alarm a(scene.wheel), b(scene.wheel), c(scene.wheel);
  a.timer.set(scene.at(Millis(100)));
  CHECK(told == 1);
  b.timer.set(scene.at(Millis(200)));
  a.timer.set(scene.at(Millis(300)));
  CHECK(told == 1);
  c.timer.set(scene.at(Millis(50)));
  CHECK(told == 2);
  a.then = [&] { b.timer.set(scene.at(Millis(310))); };
  scene.wheel.advance(scene.at(Millis(300)));
  CHECK(told == 2);  // what changes inside advance() its caller sees by next_wake()
}

TEST_CASE("waking at next_wake alone fires everything on time, with few wake-ups", "[wheel]") {
  Scene scene;
  Alarm alarm(scene.wheel);
  alarm.timer.set(scene.at(Seconds(3600)));
  int wakes = 0;
  MonoTime now = scene.start;
  while (const auto wake = scene.wheel.next_wake()) {
    REQUIRE(*wake > now);
    now = *wake;
    scene.wheel.advance(now);
    ++wakes;
  }
  CHECK(alarm.fired == 1);
  CHECK(now == scene.at(Seconds(3600)));
  CHECK(wakes <= 3);
}

// The model keeps deadlines in a plain array and looks at all of them each time.
TEST_CASE("a random life agrees with a naive model", "[wheel]") {
  const unsigned seed = GENERATE(range(1u, 9u));
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t limit) { return static_cast<int64_t>(random() % limit); };
  const MonoTime start(Micros(below(uint64_t{1} << 40)));
  TimerWheel wheel(start);
  MonoTime now = start;
  struct Subject {
    std::unique_ptr<Alarm> alarm;
    std::optional<MonoTime> deadline;
    int expected = 0;
  };
  std::vector<Subject> subjects(60);
  for (auto& subject : subjects) subject.alarm = std::make_unique<Alarm>(wheel);
  const int64_t spans[] = {20'000, 3'000'000, 700'000'000, 4'000'000'000, 400'000'000'000};
  for (int step = 0; step < 20'000; ++step) {
    auto& subject = subjects[below(subjects.size())];
    const int64_t action = below(10);
    if (action < 5) {
      subject.deadline = now + Micros(below(spans[below(5)]));
      subject.alarm->timer.set(*subject.deadline);
    } else if (action == 5) {
      subject.deadline.reset();
      subject.alarm->timer.cancel();
    } else if (action == 6) {
      subject = Subject{std::make_unique<Alarm>(wheel), std::nullopt, 0};
    } else {
      const MonoTime before = now;
      now += Micros(below(spans[below(4)]));
      wheel.advance(now);
      const auto tick_of = [](MonoTime time) { return time.time_since_epoch().count() / kTickMicros; };
      for (auto& each : subjects) {
        if (!each.deadline) continue;
        // Due at the first tick not before the deadline, and not before the tick after it was set.
        const bool passed =
            MonoTime(TimerWheel::kTick * tick_of(now)) >= *each.deadline && tick_of(now) > tick_of(before);
        if (!passed) continue;
        ++each.expected;
        each.deadline.reset();
      }
    }
    for (const auto& each : subjects) {
      REQUIRE(each.alarm->fired == each.expected);
      REQUIRE(each.alarm->timer.is_set() == each.deadline.has_value());
    }
  }
}
