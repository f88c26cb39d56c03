#include "event/poller.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace sluice::event {

namespace {
epoll_event event_of(uint32_t events, Poller::Watcher& watcher) {
  // Errors and hang-ups are always told. Who wants nothing else must not be woken by them again and again.
  return {.events = events != 0 ? events : static_cast<uint32_t>(EPOLLET), .data = {.ptr = &watcher}};
}
}  // namespace

Poller::Poller() : epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)) { SL_ASSERT(epoll_fd_ >= 0); }

Poller::~Poller() {
  SL_ASSERT(watched_ == 0);  // a watcher that outlives its loop
  ::close(epoll_fd_);
}

bool Poller::add(int fd, uint32_t events, Watcher& watcher) {
  epoll_event event = event_of(events, watcher);
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  ++watched_;
  return true;
}

void Poller::change(int fd, uint32_t events, Watcher& watcher) {
  epoll_event event = event_of(events, watcher);
  SL_ASSERT(::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0);
}

void Poller::again(Watcher& watcher) {
  if (std::find(again_.begin(), again_.end(), &watcher) == again_.end()) again_.push_back(&watcher);
}

void Poller::remove(int fd, const Watcher& watcher) {
  // close() alone would do, but for a copy of the descriptor in a child that was forked and has not called
  // exec yet.
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  --watched_;
  if (current_ == &watcher) current_ = nullptr;
  for (int i = next_; i < count_; ++i) {
    if (ready_[i].data.ptr == &watcher) ready_[i].data.ptr = nullptr;
  }
  std::replace(again_.begin(), again_.end(), const_cast<Watcher*>(&watcher), static_cast<Watcher*>(nullptr));
  std::replace(again_calling_.begin(), again_calling_.end(), const_cast<Watcher*>(&watcher),
               static_cast<Watcher*>(nullptr));
}

void Poller::wait(int timeout_ms) {
  const int count = ::epoll_wait(epoll_fd_, ready_.data(), kEventsPerWait, again_.empty() ? timeout_ms : 0);
  SL_ASSERT(count >= 0 || errno == EINTR);
  again_calling_.swap(again_);  // what is added from here on is told of in the turn after this one
  next_ = 0;
  count_ = count < 0 ? 0 : count;
}

void Poller::dispatch() {
  while (next_ < count_) {
    const epoll_event event = ready_[next_++];
    auto* watcher = static_cast<Watcher*>(event.data.ptr);
    if (watcher == nullptr) continue;
    current_ = watcher;
    watcher->on_ready(event.events);
  }
  current_ = nullptr;
  if (!again_calling_.empty()) dispatch_again();
}

void Poller::dispatch_again() {
  for (size_t i = 0; i < again_calling_.size(); ++i) {
    Watcher* watcher = again_calling_[i];
    if (watcher == nullptr) continue;
    current_ = watcher;
    watcher->on_ready(EPOLLIN);
  }
  again_calling_.clear();
  current_ = nullptr;
}

}  // namespace sluice::event
