#include "control/service.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "base/unique_fd.h"
#include "temporary_folder.h"

using namespace sluice;
namespace service = control::service;

namespace {

// What systemd would be: a datagram socket that NOTIFY_SOCKET names.
class Manager {
 public:
  Manager() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const std::string path = folder_ / "notify";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    REQUIRE(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~Manager() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
  // sendto() on a unix socket returns when the message is there, so nothing is waited for.
  std::string next() {
    char bytes[4096];
    const ssize_t got = ::recv(fd_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    return got < 0 ? "nothing came" : std::string(bytes, static_cast<size_t>(got));
  }

 private:
  control::TemporaryFolder folder_;
  UniqueFd fd_;
};

}  // namespace

TEST_CASE("each state is told in the words of sd_notify(3)") {
  Manager manager;
  service::ready("serving");
  CHECK(manager.next() == "READY=1\nSTATUS=serving");
  service::status("busy");
  CHECK(manager.next() == "STATUS=busy");
  service::alive();
  CHECK(manager.next() == "WATCHDOG=1");
  service::main_process(4711);
  CHECK(manager.next() == "MAINPID=4711");
  service::stopping();
  CHECK(manager.next() == "STOPPING=1\nSTATUS=ending");
  CHECK(manager.next() == "nothing came");
}

TEST_CASE("a reload is told with the monotonic time at which it began, in microseconds") {
  Manager manager;
  const auto now = [] { return MonoClock::now().time_since_epoch().count(); };
  const auto before = now();
  service::reloading();
  const std::string told = manager.next();
  const auto after = now();
  constexpr std::string_view kBegin = "RELOADING=1\nMONOTONIC_USEC=";
  REQUIRE(told.starts_with(kBegin));
  const long long micros = std::stoll(told.substr(kBegin.size()));
  CHECK(before <= micros);
  CHECK(micros <= after);
}

TEST_CASE("a text cannot add assignments of its own") {
  Manager manager;
  service::status("sluice.yaml:3: wrong\nMAINPID=1");
  CHECK(manager.next() == "STATUS=sluice.yaml:3: wrong MAINPID=1");
}

TEST_CASE("without a manager nothing happens") {
  ::unsetenv("NOTIFY_SOCKET");
  service::ready("serving");
  service::alive();
  CHECK_FALSE(service::watchdog_interval().has_value());
}

TEST_CASE("the watchdog's interval is ours only if it names this process or none") {
  Manager manager;
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  CHECK(service::watchdog_interval() == std::optional(Micros(30'000'000)));
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  CHECK(service::watchdog_interval() == std::optional(Micros(30'000'000)));
  ::setenv("WATCHDOG_PID", "1", 1);
  CHECK_FALSE(service::watchdog_interval().has_value());
}
