#include "event/loop.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace sluice::event {

Loop::Loop() : timers_(MonoClock::now()), read_buffer_(new char[kReadBufferBytes]) {
  // sendfile and splice know no MSG_NOSIGNAL: a peer that went away must not end the process.
  std::signal(SIGPIPE, SIG_IGN);
  refresh_now();
  constexpr size_t kTurnEnds = Poller::kEventsPerWait;  // more is rare, and kept
  turn_ends_.reserve(kTurnEnds);
  turn_ends_running_.reserve(kTurnEnds);
  SL_ASSERT(uv_loop_init(&uv_) == 0);
  auto* mailbox = new uv_async_t;
  SL_ASSERT(uv_async_init(&uv_, mailbox, [](uv_async_t* self) {
              if (self->data != nullptr) static_cast<Loop*>(self->data)->on_letters();
            }) == 0);
  mailbox->data = this;
  mailbox_.reset(mailbox);
  SL_ASSERT(poller_.add(uv_backend_fd(&uv_), EPOLLIN, *this));
  timers_.on_earlier([](void* self) { static_cast<Loop*>(self)->note_wake(); }, this);
}

Loop::~Loop() {
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::stopped;
  }
  letters_.clear();
  run_turn_ends();
  mailbox_.reset();
  uv_walk(
      &uv_, [](uv_handle_t* handle, void*) { SL_ASSERT(uv_is_closing(handle)); }, nullptr);
  uv_run(&uv_, UV_RUN_DEFAULT);
  poller_.remove(uv_backend_fd(&uv_), *this);
  SL_ASSERT(uv_loop_close(&uv_) == 0);
  run_turn_ends();
}

void Loop::run() {
  {
    const std::lock_guard lock(mutex_);
    SL_ASSERT(phase_ != Phase::running);
    running_ = phase_ != Phase::stopping;
    phase_ = running_ ? Phase::running : Phase::stopped;
  }
  refresh_now();
  end_turn();
  while (running_) turn();
}

void Loop::turn() {
  poller_.wait(wait_ms());
  refresh_now();
  poller_.dispatch();
  if (now_ >= wake_) {
    timers_.advance(now_);
    note_wake();
  }
  end_turn();
}

// Nothing that was deferred, and nothing that libuv has to start or close, may sleep through the next wait.
void Loop::end_turn() {
  run_turn_ends();
  if (uv_loop_alive(&uv_) != 0 && uv_backend_timeout(&uv_) == 0) {
    uv_run(&uv_, UV_RUN_NOWAIT);
    run_turn_ends();
  }
  turns_.store(turns_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// How long the next wait may take; -1 is for good.
int Loop::wait_ms() {
  int64_t wait = -1;
  if (wake_ != MonoTime::max()) wait = std::max<int64_t>(std::chrono::ceil<Millis>(wake_ - now_).count(), 0);
  int uv_wait = uv_loop_alive(&uv_) != 0 ? uv_backend_timeout(&uv_) : -1;
  if (uv_wait > 0) {  // a timer of libuv's, counted from the time of its last run
    uv_update_time(&uv_);
    uv_wait = uv_backend_timeout(&uv_);
  }
  if (uv_wait >= 0 && (wait < 0 || uv_wait < wait)) wait = uv_wait;
  constexpr int64_t kLongest = 3'600'000;
  return static_cast<int>(std::min(wait, kLongest));
}

// libuv's own descriptor is ready.
void Loop::on_ready(uint32_t) { uv_run(&uv_, UV_RUN_NOWAIT); }

void Loop::note_wake() { wake_ = timers_.next_wake().value_or(MonoTime::max()); }

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
  std::vector<std::function<void()>> letters;
  {
    const std::lock_guard lock(mutex_);
    letters.swap(letters_);
    if (phase_ == Phase::stopping) {
      phase_ = Phase::stopped;
      running_ = false;
    }
  }
  for (auto& letter : letters) letter();
}

void Loop::defer_delete(std::unique_ptr<Deferred> object) {
  at_turn_end([](void* raw) { delete static_cast<Deferred*>(raw); }, object.release());
}

void Loop::at_turn_end(void (*action)(void*), void* argument) { turn_ends_.push_back({action, argument}); }

// Two lists: what destructors defer while the first is worked off comes into the second, and so on until
// nothing is left.
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
}

}  // namespace sluice::event
