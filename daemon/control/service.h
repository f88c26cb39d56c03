// What the gateway tells the service manager that started it: sd_notify(3), over the socket that systemd names in
// NOTIFY_SOCKET. Without that variable every call does nothing. Stateless; control thread.
//
//   ready ──> (status, alive)* ──> reloading ──> ready ──> ... ──> stopping
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace sluice::control::service {

/// The listeners are open: systemd starts what waits for us, or ends the reload that reloading() began.
void ready(std::string_view status);
/// A reload begins; ready() or stopping() must follow, also if it fails. MONOTONIC_USEC goes along, by which a unit of
/// Type=notify-reload (systemd 253) knows that this is the answer to its signal.
void reloading();
/// The end begins; what is left is bounded by TimeoutStopSec.
void stopping();
/// The line that `systemctl status` shows. Line ends in it become spaces: the protocol has one assignment a line.
void status(std::string_view text);
/// Another process is the service from now on: said by the old process of a binary upgrade, since systemd listens to the main
/// process only. The new one must be started without WATCHDOG_PID, which names the old one.
void main_process(pid_t pid);
/// WATCHDOG=1. If it does not come for watchdog_interval(), systemd kills and restarts us.
void alive();

/// A listening descriptor that the service manager, or the process that we succeed, passed to us (sd_listen_fds(3)).
struct PassedSocket {
  std::string name;  // FileDescriptorName= of the socket unit
  UniqueFd fd;
};
/// All of them, once: the variables that announce them are removed.
std::vector<PassedSocket> passed_sockets();

/// WatchdogSec of the unit; nothing if no watchdog waits for this process.
[[nodiscard]] std::optional<Micros> watchdog_interval();

}  // namespace sluice::control::service
