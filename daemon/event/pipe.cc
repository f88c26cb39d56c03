#include "event/pipe.h"

#include <fcntl.h>
#include <unistd.h>

namespace sluice::event {

std::unique_ptr<Pipe> Pipe::open() {
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return nullptr;
  auto pipe = std::make_unique<Pipe>();
  pipe->read_end_.reset(ends[0]);
  pipe->write_end_.reset(ends[1]);
  // A refusal (the user's limit on pipe memory) leaves the default size.
  const int granted = ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(kWantedBytes));
  pipe->capacity_ = static_cast<size_t>(granted > 0 ? granted : ::fcntl(ends[1], F_GETPIPE_SZ));
  return pipe;
}

std::unique_ptr<Pipe> PipePool::take() {
  if (spare_.empty()) return Pipe::open();
  auto pipe = std::move(spare_.back());
  spare_.pop_back();
  return pipe;
}

void PipePool::give_back(std::unique_ptr<Pipe> pipe) {
  if (pipe != nullptr && pipe->held() == 0 && spare_.size() < kKeep) spare_.push_back(std::move(pipe));
}

}  // namespace sluice::event
