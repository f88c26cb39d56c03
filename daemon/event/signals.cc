#include "event/signals.h"

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

}  // namespace sluice::event
