// Successor: the new process of a binary upgrade. It is the file that this process was started from, run anew with the same
// arguments and with our listening sockets, as systemd passes sockets (LISTEN_FDS, LISTEN_FDNAMES; sd_listen_fds(3)), and it
// reports that it serves through a pipe. Until then this process goes on as if nothing were; control thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "event/loop.h"
#include "worker/supervisor.h"

namespace sluice::cli {

/// What this process was started as.
struct Program {
  std::string path;  // of the file, which may have been replaced since
  std::vector<std::string> arguments;

  static Program own();
};

class Successor final : private event::Poller::Watcher {
 public:
  /// `failure` is empty if the new process serves; else it says why it does not.
  using OnOutcome = std::function<void(std::string failure)>;

  /// Starts the process. Nothing, with `error`, if that fails; else `on_outcome` is called once, within kPatience.
  static std::unique_ptr<Successor> start(event::Loop& loop, const Program& program,
                                          const std::vector<worker::NamedSocket>& sockets, OnOutcome on_outcome,
                                          std::string& error);
  ~Successor();
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Said by the new process, when it serves. Does nothing in a process that is nobody's successor.
  static void report_ready();

 private:
  static constexpr Millis kPatience{60'000};

  Successor(event::Loop& loop, UniqueFd report, pid_t pid, OnOutcome on_outcome);
  void on_ready(uint32_t events) override;
  void on_timeout();
  void conclude(std::string failure);

  event::Loop& loop_;
  UniqueFd report_;
  pid_t pid_;
  OnOutcome on_outcome_;
  event::Timer patience_;
  bool watching_ = false;
};

}  // namespace sluice::cli
