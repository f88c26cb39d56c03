#include "event/signals.h"

#include <csignal>
#include <utility>

namespace sluice::event {

Signals::Signals(Loop& loop, std::initializer_list<int> numbers, std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)) {
  for (const int number : numbers) {
    auto* handle = new uv_signal_t;
    SL_ASSERT(uv_signal_init(loop.uv(), handle) == 0);
    handle->data = this;
    handles_.emplace_back(handle);
    const auto deliver = [](uv_signal_t* self, int signal) {
      auto* signals = static_cast<Signals*>(self->data);
      if (signals != nullptr) signals->on_signal_(signal);
    };
    SL_ASSERT(uv_signal_start(handle, deliver, number) == 0);
  }
}

// libuv gives each signal back to the system as its handle closes, and what the system does with most of them is to kill.
Signals::~Signals() {
  sigset_t ours;
  sigemptyset(&ours);
  for (const auto& handle : handles_) sigaddset(&ours, handle->signum);
  SL_ASSERT(pthread_sigmask(SIG_BLOCK, &ours, nullptr) == 0);
}

}  // namespace sluice::event
