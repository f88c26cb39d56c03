// Gateway: the life of `sluice run`, on the control thread: start, reload, drain, end. What happens in each of them is the
// Supervisor's, control's and admin's business; here stands when.
//
// State      meaning                                                     leaves by
// starting   names are looked up, for a second at most                   looked up -> serving; a signal -> over
// serving    connections are accepted                                    SIGTERM, SIGINT, SIGQUIT -> draining
// draining   none are accepted, running requests may end                 last one, or shutdown_grace -> over; a second
//                                                                        signal -> over
// over       whatever still runs is ended and counted
//
// SIGUSR2 starts a Successor beside a serving gateway; when that serves, this one drains.
//
// SIGHUP, POST /reload, a changed certificate and, with process.watch, any changed file have a serving gateway read its
// configuration anew. While a
// Successor starts no file does: should it fail, what changed meanwhile is noticed then.
//
// Beside that the gateway may be asked, by POST /drain, to look not ready and to end each connection with its next answer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "admin/server.h"
#include "cli/pid_file.h"
#include "cli/successor.h"
#include "control/compile.h"
#include "event/file_watch.h"
#include "event/resolver.h"
#include "event/signals.h"
#include "stats/process.h"
#include "upstream/discovery.h"
#include "worker/supervisor.h"
#include "worker/watchdog.h"

namespace sluice::cli {

struct RunOptions {
  std::string config_path;
  std::string version;
};

class Gateway {
 public:
  /// `first` was accepted: it has a snapshot.
  Gateway(control::CompileResult first, RunOptions options);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Until a signal ends it. Returns the process's exit code: 0 after a clean end, 1 if it could not start.
  int run();

 private:
  // What the compiler's thread has made, beside what it says of the file: what would change, in words.
  struct Compiled {
    control::CompileResult result;
    std::vector<std::string> changes;
  };

  enum class State : uint8_t { starting, serving, draining };

  void serve();
  void start_watchdog();
  [[nodiscard]] std::string status_line();
  /// Empty, with `error`, if the address cannot be listened on.
  std::unique_ptr<admin::Server> open_admin(const snapshot::AdminSpec& spec, std::string& error,
                                            std::shared_ptr<event::ListenSocket> socket = nullptr);
  void on_signal(int number);

  /// Looks the names of `next` up, and then goes on, in a later turn.
  void resolve_names(const snapshot::Snapshot& next, std::function<void()> then);

  // Reload: compile on a thread of low priority, resolve names, then publish here.
  bool reload();
  void on_compiled(Compiled compiled);
  void publish(std::shared_ptr<const snapshot::Snapshot> next, std::vector<std::string> changes);
  void conclude(admin::ReloadReport report);
  void follow_files();

  void drain(bool on);
  // Binary upgrade.
  void upgrade();
  void on_successor(const std::string& failure);
  [[nodiscard]] std::vector<worker::NamedSocket> sockets() const;

  void finish();
  void on_grace_over();
  void state_figures();
  void sweep();
  void forget_series();
  void trim();

  RunOptions options_;
  Program program_;
  stats::Registry registry_;  // before the loop, whose last letters may hold series
  event::Loop loop_;
  stats::ProcessFigures figures_;
  std::shared_ptr<const snapshot::Snapshot> first_;
  PidFile pid_file_;
  std::unique_ptr<Successor> successor_;  // until its outcome
  upstream::Discovery discovery_;
  event::Resolver resolver_;
  worker::Supervisor supervisor_;
  std::unique_ptr<worker::Watchdog> watchdog_;  // while the workers run
  SourceFiles sources_;                         // of the last configuration that was read, accepted or not
  SourceFiles certificates_;                    // the same
  std::unique_ptr<event::FileWatch> watch_;     // while they are followed
  std::shared_ptr<admin::Server> admin_;
  event::Signals signals_;
  event::Timer grace_;
  event::Timer sweep_timer_;
  event::Timer forget_timer_;
  event::Timer trim_timer_;
  State state_ = State::starting;
  int exit_code_ = 0;
  bool asked_to_drain_ = false;
  bool succeeded_ = false;  // by a new process
  std::thread background_;  // compiles, or tidies up after it
  bool reloading_ = false;
  bool reload_again_ = false;
  MonoTime reload_began_;
  admin::ReloadReport last_reload_;
};

}  // namespace sluice::cli
