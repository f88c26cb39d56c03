#include "event/loop.h"

#include <algorithm>
#include <utility>

namespace sluice::event {

namespace {
// Initialises a libuv handle of type H in a heap block of its own.
template <typename H, typename Init>
Owned<H> make_handle(void* owner, Init init) {
  auto* handle = new H;
  SL_ASSERT(init(handle) == 0);
  handle->data = owner;
  return Owned<H>(handle);
}

Loop* loop_of(const void* data) {
  return static_cast<Loop*>(const_cast<void*>(data));
}
}  // namespace

Loop::Loop() : timers_(MonoClock::now()), read_buffer_(new char[kReadBufferBytes]) {
  refresh_now();
  SL_ASSERT(uv_loop_init(&uv_) == 0);
  mailbox_ = make_handle<uv_async_t>(this, [this](uv_async_t* handle) {
    return uv_async_init(&uv_, handle, [](uv_async_t* self) {
      if (self->data != nullptr) loop_of(self->data)->on_letters();
    });
  });
  timer_ = make_handle<uv_timer_t>(this, [this](uv_timer_t* handle) { return uv_timer_init(&uv_, handle); });
  before_wait_ = make_handle<uv_prepare_t>(this, [this](uv_prepare_t* handle) { return uv_prepare_init(&uv_, handle); });
  after_wait_ = make_handle<uv_check_t>(this, [this](uv_check_t* handle) { return uv_check_init(&uv_, handle); });
  uv_prepare_start(before_wait_.get(), [](uv_prepare_t* self) { loop_of(self->data)->begin_wait(); });
  uv_check_start(after_wait_.get(), [](uv_check_t* self) { loop_of(self->data)->end_turn(); });
  timers_.on_earlier([](void* self) { static_cast<Loop*>(self)->arm_timer(); }, this);
}

Loop::~Loop() {
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::stopped;
  }
  letters_.clear();
  run_turn_ends();
  timers_.on_earlier(nullptr, nullptr);
  mailbox_.reset();
  timer_.reset();
  before_wait_.reset();
  after_wait_.reset();
  uv_run(&uv_, UV_RUN_DEFAULT);
  run_turn_ends();
  SL_ASSERT(uv_loop_close(&uv_) == 0);
}

void Loop::run() {
  {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::stopping) {
      phase_ = Phase::stopped;
      return;
    }
    SL_ASSERT(phase_ != Phase::running);
    phase_ = Phase::running;
  }
  refresh_now();
  uv_run(&uv_, UV_RUN_DEFAULT);
  run_turn_ends();
}

void Loop::stop() {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::stopped) return;
  phase_ = Phase::stopping;
  uv_async_send(mailbox_.get());
}

void Loop::post(std::function<void()> letter) {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::stopped) return;
  letters_.push_back(std::move(letter));
  // One wake-up carries all letters that wait.
  if (letters_.size() == 1) uv_async_send(mailbox_.get());
}

// Letters that were posted before stop() still run; what they post does not.
void Loop::on_letters() {
  enter_turn();
  std::vector<std::function<void()>> letters;
  bool stopping = false;
  {
    const std::lock_guard lock(mutex_);
    letters.swap(letters_);
    stopping = phase_ == Phase::stopping;
    if (stopping) phase_ = Phase::stopped;
  }
  for (auto& letter : letters) letter();
  if (stopping) uv_stop(&uv_);
}

void Loop::defer_delete(std::unique_ptr<Deferred> object) {
  at_turn_end([](void* raw) { delete static_cast<Deferred*>(raw); }, object.release());
}

void Loop::at_turn_end(void (*action)(void*), void* argument) {
  turn_ends_.push_back({action, argument});
}

// Two lists: what destructors defer while the first is worked off comes into the second, and so on until nothing is left.
void Loop::run_turn_ends() {
  while (!turn_ends_.empty()) {
    turn_ends_running_.swap(turn_ends_);
    for (const TurnEnd& end : turn_ends_running_) end.action(end.argument);
    turn_ends_running_.clear();
  }
}

void Loop::refresh_now() {
  now_ = MonoClock::now();
  wall_ = wall_now();
  time_is_fresh_ = true;
}

uint64_t Loop::turns() const {
  return turns_.load(std::memory_order_relaxed);
}

// libuv runs timers before the wait and readiness callbacks inside it, so both ends of the wait are the end of something:
// nothing that was deferred may sleep through it.
void Loop::begin_wait() {
  run_turn_ends();
  time_is_fresh_ = false;
}

void Loop::end_turn() {
  run_turn_ends();
  turns_.store(turns_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void Loop::on_timer() {
  refresh_now();
  timers_.advance(now_);
  arm_timer();
}

// The kernel timer follows the wheel; without a timer in the wheel it stays off, so an idle loop sleeps for good.
void Loop::arm_timer() {
  const auto wake = timers_.next_wake();
  if (!wake) {
    uv_timer_stop(timer_.get());
    return;
  }
  // libuv counts from the time it cached, in milliseconds of the same monotonic clock.
  const auto due = static_cast<uint64_t>(std::chrono::ceil<Millis>(wake->time_since_epoch()).count());
  const uint64_t base = uv_now(&uv_);
  uv_timer_start(
      timer_.get(), [](uv_timer_t* self) { loop_of(self->data)->on_timer(); }, due > base ? due - base : 0, 0);
}

}  // namespace sluice::event
