// Real servers for the tests of this folder: redis-server processes on free ports of loopback, their files in a folder that is
// gone at the end. Each is ended by its pid, at the latest when this process ends.
#pragma once

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "store/redis_protocol.h"

namespace sluice::store::test {

inline UniqueFd socket_for(const SocketAddress& address) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(fd);
  return fd;
}

/// Ports that were free a moment ago, all different.
inline std::vector<uint16_t> free_ports(size_t count) {
  std::vector<UniqueFd> held;
  std::vector<uint16_t> ports;
  while (ports.size() < count) {
    const SocketAddress any = *SocketAddress::parse("127.0.0.1:0");
    held.push_back(socket_for(any));
    REQUIRE(::bind(held.back().get(), any.get(), any.length()) == 0);
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    REQUIRE(::getsockname(held.back().get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
    ports.push_back(SocketAddress::from(reinterpret_cast<const sockaddr*>(&bound), length).port());
  }
  return ports;
}

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-redis-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A program that runs beside the test.
class Process {
 public:
  /// Starts it; what it says goes to the file `output`.
  void start(const std::vector<std::string>& command, const std::string& output) {
    REQUIRE(pid_ < 0);
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const UniqueFd out(::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    REQUIRE(out);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::signal(SIGPIPE, SIG_DFL);
    ::dup2(out.get(), 1);
    ::dup2(out.get(), 2);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~Process() { kill(); }
  Process() = default;
  Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Process& operator=(Process&&) = delete;

  void signal(int number) const { REQUIRE(::kill(pid_, number) == 0); }
  /// Ends it at once, even if it is paused.
  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  [[nodiscard]] bool ended() const {
    siginfo_t ended{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == pid_;
  }
  /// Its exit code, once it ended by itself.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
};

/// A blocking client, to look at a server from the side.
class Client {
 public:
  /// Whether somebody listens there.
  bool connect(const SocketAddress& address) {
    fd_ = socket_for(address);
    reader_.reset();
    return ::connect(fd_.get(), address.get(), address.length()) == 0;
  }
  /// The reply as text: elements of arrays separated by spaces, nil as "(nil)", errors as they are.
  std::string ask(const std::vector<std::string>& command) {
    std::string bytes;
    CommandWriter writer(bytes, command.size());
    for (const std::string& argument : command) writer << argument;
    if (::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
      return "(lost)";
    const MonoTime deadline = MonoClock::now() + Seconds(10);
    for (;;) {
      if (const Reply* reply = reader_.next()) return text_of(*reply);
      pollfd ready{fd_.get(), POLLIN, 0};
      if (MonoClock::now() > deadline || ::poll(&ready, 1, 1000) < 0) return "(silent)";
      char buffer[4096];
      const ssize_t got = ready.revents != 0 ? ::recv(fd_.get(), buffer, sizeof buffer, 0) : -1;
      if (got == 0) return "(lost)";
      if (got > 0) reader_.feed({buffer, static_cast<size_t>(got)});
    }
  }

 private:
  static std::string text_of(const Reply& reply) {
    std::string text;
    for (const Reply::Value& value : reply.values()) {
      if (value.type == Reply::Type::array) continue;
      if (!text.empty()) text += ' ';
      if (value.type == Reply::Type::integer) {
        text += std::to_string(value.integer);
      } else if (value.type == Reply::Type::nil) {
        text += "(nil)";
      } else {
        text += reply.text_of(value);
      }
    }
    return text;
  }

  UniqueFd fd_;
  ReplyReader reader_;
};

/// False if `condition` did not come true within ten seconds. For what happens in other processes.
template <typename Condition>
[[nodiscard]] bool eventually(const Condition& condition, Seconds within = Seconds(10)) {
  const MonoTime deadline = MonoClock::now() + within;
  while (!condition()) {
    if (MonoClock::now() > deadline) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

/// One redis-server that keeps nothing on disk.
class RedisServer {
 public:
  explicit RedisServer(std::vector<std::string> options = {})
      : port_(free_ports(1).front()), options_(std::move(options)) {
    start();
  }

  void start() {
    std::vector<std::string> command = {
        "redis-server", "--port", std::to_string(port_), "--bind", "127.0.0.1",    "--save",      "",
        "--appendonly", "no",     "--daemonize",         "no",     "--unixsocket", folder_ / "s", "--dir",
        folder_ / ""};
    command.insert(command.end(), options_.begin(), options_.end());
    process_.start(command, folder_ / "log");
    REQUIRE(eventually([this] { return client_.connect(address()) && client_.ask({"PING"}) != "(lost)"; }));
  }
  void kill() { process_.kill(); }
  void pause() { process_.signal(SIGSTOP); }
  void resume() { process_.signal(SIGCONT); }

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] SocketAddress address() const { return *SocketAddress::parse("127.0.0.1:" + std::to_string(port_)); }
  [[nodiscard]] SocketAddress unix_address() const { return *SocketAddress::parse("unix:" + (folder_ / "s")); }
  /// A server that changes its role cuts its clients off: then on a new connection.
  [[nodiscard]] std::string ask(const std::vector<std::string>& command) {
    std::string answer = client_.ask(command);
    if (answer == "(lost)" && client_.connect(address())) answer = client_.ask(command);
    return answer;
  }

 private:
  TestFolder folder_;
  uint16_t port_;
  std::vector<std::string> options_;
  Process process_;
  Client client_;
};

}  // namespace sluice::store::test
