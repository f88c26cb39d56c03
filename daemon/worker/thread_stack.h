// The stack of another thread of this process, for the log: that thread takes a signal (SIGRTMIN) whose handler walks its
// stack; names are looked up by the caller. Control thread.
#pragma once

#include <pthread.h>

#include <string>
#include <vector>

namespace sluice::worker {

/// Installs the signal's handler. To be called once before stack_of(), while all is well: the first walk loads libgcc, which
/// a signal's handler must not do.
void prepare_thread_stacks();

/// One line per frame, innermost first, and one that says how to get names and lines out of it. If the thread does not take
/// the signal within a second (it sleeps in the kernel, or a debugger has it), a line that says so.
[[nodiscard]] std::vector<std::string> stack_of(pthread_t thread);

}  // namespace sluice::worker
