#include "proxy/log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <thread>

#include "../test_folder.h"
#include "log_lines.h"

namespace sluice::proxy {
namespace {

using test::push;

// Waits for a condition; false past a deadline that only a broken build meets.
bool eventually(const std::function<bool()>& condition) {
  const MonoTime deadline = MonoClock::now() + Seconds(30);
  while (!condition()) {
    if (MonoClock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

void start(LogWriter& writer) {
  std::string error;
  const bool started = writer.start(error);
  INFO(error);
  REQUIRE(started);
}

size_t lines_in(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

// Lines "<worker> <number> xxx" must be whole, and each worker's numbers must rise.
bool well_formed(const std::string& text, size_t workers) {
  std::vector<long> last(workers, -1);
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) return false;
    size_t worker = 0;
    long number = 0;
    char rest[8] = {};
    if (sscanf(text.substr(at, end - at).c_str(), "%zu %ld %7s", &worker, &number, rest) != 3) return false;
    if (worker >= workers || number <= last[worker] || std::string_view(rest) != "xxx") return false;
    last[worker] = number;
    at = end + 1;
  }
  return true;
}

std::string line_of(size_t worker, long number) {
  return std::to_string(worker) + " " + std::to_string(number) + " xxx\n";
}

TEST_CASE("Two workers' lines all reach the file, whole and in each worker's order") {
  const TestFolder folder;
  LogWriter writer(folder.path("log"), 2, 1 << 14);
  start(writer);
  constexpr long kLines = 20'000;
  const auto work = [&](size_t worker) {
    for (long i = 0; i < kLines;) push(writer.ring(worker), line_of(worker, i)) ? ++i : (std::this_thread::yield(), 0);
  };
  std::thread first(work, 0);
  std::thread second(work, 1);
  first.join();
  second.join();
  writer.stop();
  const std::string text = folder.read("log");
  CHECK(lines_in(text) == 2 * kLines);
  CHECK(well_formed(text, 2));
  CHECK(writer.lost_lines() == 0);
}

TEST_CASE("A line reaches the file by itself, and then the thread sleeps until the next one") {
  const TestFolder folder;
  LogWriter writer(folder.path("log"), 1);
  start(writer);
  for (long i = 0; i < 3; ++i) {
    REQUIRE(eventually([&] { return writer.idle(); }));
    push(writer.ring(0), line_of(0, i));
    REQUIRE(eventually([&] { return lines_in(folder.read("log")) == static_cast<size_t>(i) + 1; }));
  }
}

TEST_CASE("The file is made with mode 0640 and appended to") {
  const TestFolder folder;
  const mode_t mask = umask(0);
  for (int i = 0; i < 2; ++i) {
    LogWriter writer(folder.path("log"), 1);
    start(writer);
    push(writer.ring(0), line_of(0, i));
  }
  umask(mask);
  struct stat status {};
  REQUIRE(stat(folder.path("log").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
  CHECK(folder.read("log") == line_of(0, 0) + line_of(0, 1));
}

TEST_CASE("A path that cannot be opened is told before anything runs") {
  LogWriter writer("/nowhere/at/all", 1);
  std::string error;
  CHECK_FALSE(writer.start(error));
  CHECK(error == "access log /nowhere/at/all: No such file or directory");
}

TEST_CASE("After a rotation reopen() goes on in a new file; no line is lost or torn") {
  const TestFolder folder;
  LogWriter writer(folder.path("log"), 1);
  start(writer);
  push(writer.ring(0), line_of(0, 0));
  REQUIRE(eventually([&] { return lines_in(folder.read("log")) == 1; }));
  std::filesystem::rename(folder.path("log"), folder.path("log.1"));
  writer.reopen();
  REQUIRE(eventually([&] { return writer.opened() == 2; }));
  push(writer.ring(0), line_of(0, 1));
  writer.stop();
  CHECK(folder.read("log.1") == line_of(0, 0));
  CHECK(folder.read("log") == line_of(0, 1));
}

TEST_CASE("A line from before reopen() is in the old file, and one from after it in the new one") {
  const TestFolder folder;
  LogWriter writer(folder.path("log"), 1);
  start(writer);
  std::string expected;
  for (long i = 0; i < 300; ++i) {
    const std::string old_name = folder.path("log." + std::to_string(i));
    push(writer.ring(0), line_of(0, 2 * i));
    std::filesystem::rename(folder.path("log"), old_name);
    writer.reopen();
    push(writer.ring(0), line_of(0, 2 * i + 1));
    REQUIRE(eventually([&] { return writer.opened() == static_cast<uint64_t>(i) + 2; }));
    CHECK(folder.read("log." + std::to_string(i)) == expected + line_of(0, 2 * i));
    expected = line_of(0, 2 * i + 1);
  }
  writer.stop();
  CHECK(folder.read("log") == expected);
}

TEST_CASE("If reopening fails the old file stays in use") {
  const TestFolder folder;
  std::filesystem::create_directory(folder.path("logs"));
  LogWriter writer(folder.path("logs/log"), 1);
  start(writer);
  std::filesystem::rename(folder.path("logs"), folder.path("gone"));
  writer.reopen();
  push(writer.ring(0), line_of(0, 0));
  writer.stop();
  CHECK(writer.opened() == 1);
  CHECK(folder.read("gone/log") == line_of(0, 0));
}

TEST_CASE("A full disk costs lines, which are counted, and nothing else") {
  LogWriter writer("/dev/full", 2);
  start(writer);
  for (long i = 0; i < 100; ++i) {
    REQUIRE(push(writer.ring(0), line_of(0, i)));
    REQUIRE(push(writer.ring(1), line_of(1, i)));
  }
  writer.stop();
  CHECK(writer.lost_lines() == 200);
  CHECK(writer.ring(0).readable().empty());
}

// A FIFO that a test reads when it likes.
struct Fifo {
  explicit Fifo(const TestFolder& folder) : path(folder.path("fifo")) {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    reader = UniqueFd(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
    REQUIRE(reader);
    REQUIRE(fcntl(reader.get(), F_SETPIPE_SZ, 4096) >= 4096);
  }
  // What is there, or comes within the deadline; empty if nothing does.
  std::string read_some(int timeout_ms) const {
    pollfd ready{reader.get(), POLLIN, 0};
    char bytes[1000];  // odd, so that lines are cut
    if (poll(&ready, 1, timeout_ms) != 1) return {};
    const ssize_t got = ::read(reader.get(), bytes, sizeof(bytes));
    return got > 0 ? std::string(bytes, static_cast<size_t>(got)) : std::string();
  }
  std::string path;
  UniqueFd reader;
};

TEST_CASE("A blocked pipe never blocks a worker: lines are dropped and counted, and those written stay whole") {
  const TestFolder folder;
  const Fifo fifo(folder);
  LogWriter writer(fifo.path, 2, 4096);
  start(writer);
  constexpr long kLines = 5'000;
  uint64_t pushed = 0;
  for (long i = 0; i < kLines; ++i) {  // ends although nobody reads
    pushed += push(writer.ring(0), line_of(0, i)) ? 1 : 0;
    pushed += push(writer.ring(1), line_of(1, i)) ? 1 : 0;
  }
  CHECK(writer.dropped_lines() == 2 * kLines - pushed);
  CHECK(writer.dropped_lines() > 0);

  std::string text;
  for (long more_lines = 0; lines_in(text) < pushed; ++more_lines) {
    const std::string more = fifo.read_some(30'000);
    REQUIRE_FALSE(more.empty());
    text += more;
    // The reader's pace cuts lines of each worker while the other one writes on.
    for (const size_t worker : {0, 1}) {
      if (more_lines < 100 && push(writer.ring(worker), line_of(worker, kLines + more_lines))) ++pushed;
    }
  }
  writer.stop();
  CHECK(lines_in(text) == pushed);
  CHECK(well_formed(text, 2));
  CHECK(writer.lost_lines() == 0);
}

TEST_CASE("stop() gives up on an output that stays blocked, and counts what it leaves behind") {
  const TestFolder folder;
  const Fifo fifo(folder);
  LogWriter writer(fifo.path, 1, 1 << 14);
  start(writer);
  size_t pushed = 0;
  while (push(writer.ring(0), line_of(0, static_cast<long>(pushed)))) ++pushed;
  writer.stop();
  std::string text;
  for (std::string more = fifo.read_some(0); !more.empty(); more = fifo.read_some(0)) text += more;
  CHECK(lines_in(text) + writer.lost_lines() == pushed);
  CHECK(writer.lost_lines() > 0);
}

// Puts a descriptor in the place of standard output while it lives.
class AsStdout {
 public:
  explicit AsStdout(int fd) : saved_(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) { dup2(fd, STDOUT_FILENO); }
  ~AsStdout() { dup2(saved_.get(), STDOUT_FILENO); }

 private:
  UniqueFd saved_;
};

// Opens a sink on "stdout" while `fd` is that, writes until it would block, and returns how much went
// through.
size_t fill_stdout(int fd) {
  AccessLogSink sink("stdout");
  {
    const AsStdout redirected(fd);
    if (sink.open() != 0) return 0;
  }
  const std::string line(99, 'x');
  const iovec piece{const_cast<char*>(line.data()), line.size()};
  size_t sum = 0;
  ssize_t written = 0;
  while (sum < (size_t{16} << 20) && (written = sink.write(&piece, 1)) >= 0) sum += static_cast<size_t>(written);
  return written < 0 && errno == EAGAIN ? sum : 0;
}

TEST_CASE("Standard output never blocks the writer, and others' O_NONBLOCK is left alone") {
  int pipe_ends[2];
  REQUIRE(pipe2(pipe_ends, O_CLOEXEC) == 0);
  const UniqueFd pipe_read(pipe_ends[0]);
  const UniqueFd pipe_write(pipe_ends[1]);
  CHECK(fill_stdout(pipe_write.get()) > 0);
  CHECK((fcntl(pipe_write.get(), F_GETFL) & O_NONBLOCK) == 0);

  int sockets[2];  // as under systemd, whose journal is a socket
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
  const UniqueFd journal(sockets[0]);
  const UniqueFd ours(sockets[1]);
  CHECK(fill_stdout(ours.get()) > 0);
  CHECK((fcntl(ours.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("Standard output that is a file shares its offset with whoever else writes there") {
  const TestFolder folder;
  const UniqueFd file(::open(folder.path("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::write(file.get(), "before\n", 7) == 7);
  AccessLogSink sink("stdout");
  {
    const AsStdout redirected(file.get());
    REQUIRE(sink.open() == 0);
  }
  const iovec piece{const_cast<char*>("line\n"), 5};
  REQUIRE(sink.write(&piece, 1) == 5);
  REQUIRE(::write(file.get(), "after\n", 6) == 6);
  CHECK(folder.read("out") == "before\nline\nafter\n");
}

}  // namespace
}  // namespace sluice::proxy
