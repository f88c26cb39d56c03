#include "worker/thread_stack.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <sched.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <string_view>

#include "base/assert.h"
#include "base/format.h"

namespace sluice::worker {

namespace {

constexpr int kMaxFrames = 64;
constexpr int kOwnFrames = 2;  // the handler's, and the kernel's that called it

enum class State : uint8_t { idle, asked, walking, done };

// What the control thread asks for and the handler fills in. Static, since a handler may run at any time.
struct Walk {
  Walk() { sem_init(&done, 0, 0); }
  std::atomic<pthread_t> thread{};
  std::atomic<State> state{State::idle};
  std::array<void*, kMaxFrames> frames{};
  int count = 0;
  sem_t done{};
};
Walk walk;

// On the thread that is looked at. backtrace() takes no lock (glibc's _dl_find_object) and allocates nothing once libgcc is
// loaded; sem_post() may be called from a handler. A signal that comes late, or from elsewhere, finds that nothing is asked.
void on_signal(int) {
  const int saved = errno;
  State asked = State::asked;
  if (walk.thread.load() == pthread_self() && walk.state.compare_exchange_strong(asked, State::walking)) {
    walk.count = backtrace(walk.frames.data(), kMaxFrames);
    walk.state.store(State::done);
    sem_post(&walk.done);
  }
  errno = saved;
}

void wait_for_answer() {
  timespec until{};
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 1;
  while (sem_clockwait(&walk.done, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR) {
  }
  State asked = State::asked;
  if (walk.state.compare_exchange_strong(asked, State::idle)) return;  // too late for it now
  while (walk.state.load() != State::done) sched_yield();
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

void prepare_thread_stacks() {
  void* frame = nullptr;
  backtrace(&frame, 1);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  SL_ASSERT(sigaction(SIGRTMIN, &action, nullptr) == 0);
}

std::vector<std::string> stack_of(pthread_t thread) {
  while (sem_trywait(&walk.done) == 0) {
  }
  walk.thread.store(thread);
  walk.state.store(State::asked);
  if (const int failed = pthread_kill(thread, SIGRTMIN); failed != 0) {
    return {fmt::format("no stack: the thread cannot be signalled (error {})", failed)};
  }
  wait_for_answer();
  if (walk.state.load() != State::done) {
    return {"no stack: the thread takes no signals; it waits in the kernel, or a debugger has stopped it"};
  }
  std::vector<std::string> lines;
  std::string own_offsets;
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&stack_of), &self);
  for (int i = kOwnFrames; i < walk.count; ++i) {
    const auto address = reinterpret_cast<uintptr_t>(walk.frames[static_cast<size_t>(i)]);
    Dl_info found{};
    if (dladdr(walk.frames[static_cast<size_t>(i)], &found) == 0 || found.dli_fname == nullptr) {
      lines.push_back(fmt::format("#{} {:#x}", i - kOwnFrames, address));
      continue;
    }
    const uintptr_t offset = address - reinterpret_cast<uintptr_t>(found.dli_fbase);
    std::string line = fmt::format("#{} {} {:#x}", i - kOwnFrames, file_name(found.dli_fname), offset);
    if (found.dli_sname != nullptr) line += fmt::format(" {}", found.dli_sname);
    lines.push_back(std::move(line));
    // A return address stands behind its call, perhaps already on the next line.
    if (found.dli_fbase == self.dli_fbase) own_offsets += fmt::format(" {:#x}", offset - 1);
  }
  if (!own_offsets.empty())
    lines.push_back(fmt::format("names and lines: addr2line -Cfpie {}{}", self.dli_fname, own_offsets));
  return lines;
}

}  // namespace sluice::worker
