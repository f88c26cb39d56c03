#include "worker/thread_stack.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <semaphore.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <memory>
#include <string_view>

#include "base/assert.h"
#include "base/format.h"

namespace sluice::worker {

namespace {

constexpr int kMaxFrames = 64;
constexpr int kOwnFrames = 2;  // the handler's, and the kernel's that called it

// What the signal carries.
struct Walk {
  Walk() { sem_init(&done, 0, 0); }
  ~Walk() { sem_destroy(&done); }
  std::array<void*, kMaxFrames> frames{};
  std::atomic<int> count{0};  // written last
  sem_t done;
};

// On the thread that is looked at. backtrace() takes no lock (glibc's _dl_find_object) and allocates nothing once libgcc is
// loaded; sem_post() may be called from a handler.
void on_signal(int, siginfo_t* signal, void*) {
  const int saved = errno;
  auto* walk = static_cast<Walk*>(signal->si_value.sival_ptr);
  if (signal->si_code == SI_QUEUE && signal->si_pid == getpid() && walk != nullptr) {
    walk->count.store(backtrace(walk->frames.data(), kMaxFrames), std::memory_order_release);
    sem_post(&walk->done);
  }
  errno = saved;
}

bool wait_for(Walk& walk) {
  timespec until{};
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 1;
  int result = 0;
  do {
    result = sem_clockwait(&walk.done, CLOCK_MONOTONIC, &until);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

void prepare_thread_stacks() {
  void* frame = nullptr;
  backtrace(&frame, 1);
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  SL_ASSERT(sigaction(SIGRTMIN, &action, nullptr) == 0);
}

std::vector<std::string> stack_of(pthread_t thread) {
  auto walk = std::make_unique<Walk>();
  if (const int failed = pthread_sigqueue(thread, SIGRTMIN, {.sival_ptr = walk.get()}); failed != 0) {
    return {fmt::format("no stack: the thread cannot be signalled (error {})", failed)};
  }
  if (!wait_for(*walk)) {
    static std::vector<std::unique_ptr<Walk>> pending;  // the handler may still run, at any time
    pending.push_back(std::move(walk));
    return {"no stack: the thread takes no signals; it waits in the kernel, or a debugger has stopped it"};
  }
  std::vector<std::string> lines;
  std::string own_offsets;
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&stack_of), &self);
  const int count = walk->count.load(std::memory_order_acquire);
  for (int i = kOwnFrames; i < count; ++i) {
    const auto address = reinterpret_cast<uintptr_t>(walk->frames[static_cast<size_t>(i)]);
    Dl_info found{};
    if (dladdr(walk->frames[static_cast<size_t>(i)], &found) == 0 || found.dli_fname == nullptr) {
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
