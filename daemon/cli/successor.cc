#include "cli/successor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/format.h"
#include "base/strings.h"

extern char** environ;

namespace sluice::cli {

namespace {

constexpr const char* kReportVariable = "SLUICE_UPGRADE_FD";
constexpr int kFirstPassed = 3;  // SD_LISTEN_FDS_START
constexpr std::string_view kPid = "LISTEN_PID=";

bool is_replaced(std::string_view variable) {
  // Watchdog variables name this process; the new one is told of no watchdog, and so feeds none.
  constexpr std::string_view kReplaced[] = {
      "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "SLUICE_UPGRADE_FD=", "WATCHDOG_PID="};
  for (const std::string_view each : kReplaced) {
    if (variable.starts_with(each)) return true;
  }
  return false;
}

std::vector<std::string> environment_for(const std::vector<worker::NamedSocket>& sockets) {
  std::vector<std::string> variables;
  for (char** each = environ; *each != nullptr; ++each) {
    if (!is_replaced(*each)) variables.emplace_back(*each);
  }
  std::string names;
  for (const worker::NamedSocket& each : sockets) names += (names.empty() ? "" : ":") + each.name;
  variables.push_back(fmt::format("LISTEN_FDS={}", sockets.size()));
  variables.push_back("LISTEN_FDNAMES=" + names);
  variables.push_back(fmt::format("{}={}", kReportVariable, kFirstPassed + sockets.size()));
  variables.push_back(std::string(kPid) + std::string(20, '\0'));  // the child writes its own
  return variables;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork() and execve() of a process with threads: only what is safe in a signal handler (signal-safety(7)).
[[noreturn]] void become(const char* program, char** arguments, char** environment, char* pid_text, int* passed,
                         size_t count) {
  // First out of the way of the numbers that they are to get.
  for (size_t i = 0; i < count; ++i) passed[i] = ::fcntl(passed[i], F_DUPFD, kFirstPassed + static_cast<int>(count));
  for (size_t i = 0; i < count; ++i) {
    if (passed[i] < 0 || ::dup2(passed[i], kFirstPassed + static_cast<int>(i)) < 0) ::_exit(126);
    ::close(passed[i]);
  }
  *std::to_chars(pid_text, pid_text + 19, ::getpid()).ptr = '\0';
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(program, arguments, environment);
  ::_exit(127);
}

std::string describe_end(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return "it ended";
  if (WIFSIGNALED(status)) return fmt::format("it was killed by signal {}", WTERMSIG(status));
  switch (WEXITSTATUS(status)) {
    case 126: return "its sockets could not be passed on";
    case 127: return "the program could not be executed";
    default: return fmt::format("it ended with exit code {}", WEXITSTATUS(status));
  }
}

}  // namespace

Program Program::own() {
  Program program;
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path));
  if (length > 0) program.path.assign(path, static_cast<size_t>(length));
  std::ifstream file("/proc/self/cmdline");
  for (std::string argument; std::getline(file, argument, '\0');) program.arguments.push_back(argument);
  return program;
}

std::unique_ptr<Successor> Successor::start(event::Loop& loop, const Program& program,
                                            const std::vector<worker::NamedSocket>& sockets, OnOutcome on_outcome,
                                            std::string& error) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    error = std::strerror(errno);
    return nullptr;
  }
  UniqueFd report(ends[0]);
  const UniqueFd told(ends[1]);
  std::vector<std::string> arguments = program.arguments;
  std::vector<std::string> variables = environment_for(sockets);
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> variable_pointers = pointers_to(variables);
  std::vector<int> passed;
  for (const worker::NamedSocket& each : sockets) passed.push_back(each.socket->fd());
  passed.push_back(told.get());
  char* const pid_text = variables.back().data() + kPid.size();

  const pid_t pid = ::fork();
  if (pid == 0) {
    become(program.path.c_str(), const_cast<char**>(argument_pointers.data()),
           const_cast<char**>(variable_pointers.data()), pid_text, passed.data(), passed.size());
  }
  if (pid < 0) {
    error = std::strerror(errno);
    return nullptr;
  }
  return std::unique_ptr<Successor>(new Successor(loop, std::move(report), pid, std::move(on_outcome)));
}

Successor::Successor(event::Loop& loop, UniqueFd report, pid_t pid, OnOutcome on_outcome)
    : loop_(loop),
      report_(std::move(report)),
      pid_(pid),
      on_outcome_(std::move(on_outcome)),
      patience_(
          loop.timers(), [](void* self) { static_cast<Successor*>(self)->on_timeout(); }, this) {
  watching_ = loop_.poller().add(report_.get(), EPOLLIN, *this);
  patience_.set(loop_.now() + (watching_ ? kPatience : Millis(0)));
}

Successor::~Successor() {
  if (watching_) loop_.poller().remove(report_.get(), *this);
}

void Successor::on_ready(uint32_t) {
  char word;
  const ssize_t got = ::read(report_.get(), &word, 1);
  if (got < 0) return;
  conclude(got == 1 ? "" : describe_end(pid_));
}

void Successor::on_timeout() {
  ::kill(pid_, SIGKILL);
  describe_end(pid_);
  conclude(fmt::format("it did not serve within {} s", kPatience / Seconds(1)));
}

void Successor::conclude(std::string failure) {
  patience_.cancel();
  if (std::exchange(watching_, false)) loop_.poller().remove(report_.get(), *this);
  std::exchange(on_outcome_, nullptr)(std::move(failure));  // may be the end of us
}

void Successor::report_ready() {
  const char* text = std::getenv(kReportVariable);
  const auto fd = parse_u64(text == nullptr ? "" : text);
  ::unsetenv(kReportVariable);
  if (!fd || *fd < kFirstPassed || *fd > INT_MAX) return;
  const UniqueFd report(static_cast<int>(*fd));
  [[maybe_unused]] const ssize_t written = ::write(report.get(), "1", 1);
}

}  // namespace sluice::cli
