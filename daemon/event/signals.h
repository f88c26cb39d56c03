// Signals: calls back on the loop's thread when the process gets one of the signals given. Control thread
// only. Its end is that of the process: this thread blocks them from then on, so that one more does not cut short what is left to do.
#pragma once

#include <functional>
#include <initializer_list>
#include <vector>

#include "event/handle.h"
#include "event/loop.h"

namespace sluice::event {

class Signals {
 public:
  Signals(Loop& loop, std::initializer_list<int> numbers, std::function<void(int)> on_signal);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  std::function<void(int)> on_signal_;
  std::vector<Owned<uv_signal_t>> handles_;
};

}  // namespace sluice::event
