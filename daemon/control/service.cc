#include "control/service.h"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/format.h"

namespace sluice::control::service {

namespace {

// A failure is nobody's business: without a manager there is no socket, and a manager that went away reads nothing.
void notify(const std::string& assignments) { sd_notify(0, assignments.c_str()); }

std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

void ready(std::string_view status) { notify(fmt::format("READY=1\nSTATUS={}", one_line(status))); }

void reloading() {
  const auto now = std::chrono::duration_cast<Micros>(MonoClock::now().time_since_epoch());
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reloading the configuration", now.count()));
}

void stopping() { notify("STOPPING=1\nSTATUS=ending"); }

void status(std::string_view text) { notify("STATUS=" + one_line(text)); }

void main_process(pid_t pid) { notify(fmt::format("MAINPID={}", pid)); }

void alive() { notify("WATCHDOG=1"); }

std::vector<PassedSocket> passed_sockets() {
  std::vector<PassedSocket> passed;
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    passed.push_back({names[i], UniqueFd(SD_LISTEN_FDS_START + i)});
    std::free(names[i]);
  }
  std::free(names);
  return passed;
}

std::optional<Micros> watchdog_interval() {
  uint64_t micros = 0;
  if (sd_watchdog_enabled(0, &micros) <= 0) return std::nullopt;
  return Micros(micros);
}

}  // namespace sluice::control::service
