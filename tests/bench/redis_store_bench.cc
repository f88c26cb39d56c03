// What pipelining is worth: puts of one loop turn, which leave in one write, against puts that each wait for the reply to the
// one before. Starts a redis-server of its own on a free port of loopback.
//
//   bench_redis_store [PUTS]      default: 1000; the medians of 15 rounds
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "store/redis_store.h"

using namespace sluice;
using namespace sluice::store;

namespace {

constexpr int kRounds = 15;

/// A redis-server that listens on a unix-domain socket and a TCP port in a folder of its own.
class Server {
 public:
  Server() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const std::string port = std::to_string(free_port());
    address = *SocketAddress::parse("127.0.0.1:" + port);
    pid_ = ::fork();
    if (pid_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execlp("redis-server", "redis-server", "--port", port.c_str(), "--bind", "127.0.0.1", "--save", "", "--dir",
             folder_.c_str(), "--logfile", "log", nullptr);
    ::_exit(127);
  }
  ~Server() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  SocketAddress address;

 private:
  static uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const SocketAddress any = *SocketAddress::parse("127.0.0.1:0");
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (::bind(fd, any.get(), any.length()) != 0) std::perror("bind");
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) std::perror("getsockname");
    ::close(fd);
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&bound), length).port();
  }
  std::string folder_;
  pid_t pid_ = -1;
};

/// Puts `count` values, all at once or one after the other, and stops the loop.
class Puts {
 public:
  Puts(event::Loop& loop, RedisStore& store, size_t count) : loop_(loop), store_(store) {
    for (size_t i = 0; i < count; ++i) calls_.push_back(std::make_unique<Call>(&Puts::on_done, this));
  }
  double micros(bool at_once) {
    at_once_ = at_once;
    done_ = 0;
    begin_ = MonoClock::now();
    for (size_t i = 0; i < (at_once_ ? calls_.size() : 1); ++i) put(i);
    loop_.run();
    return static_cast<double>((end_ - begin_).count());
  }
  size_t failed = 0;

 private:
  static void on_done(void* raw, const Outcome& outcome) {
    auto& self = *static_cast<Puts*>(raw);
    if (outcome.kind != Outcome::Kind::done) ++self.failed;
    if (++self.done_ < self.calls_.size()) {
      if (!self.at_once_) self.put(self.done_);
      return;
    }
    self.end_ = MonoClock::now();
    self.loop_.stop();
  }
  void put(size_t i) {
    const std::string key = "key:" + std::to_string(i);
    store_.submit(
        {.operation = Operation::put, .key = key, .value = "a value of some thirty bytes ..", .ttl = Millis(60'000)},
        calls_[i].get());
  }

  event::Loop& loop_;
  RedisStore& store_;
  std::vector<std::unique_ptr<Call>> calls_;
  bool at_once_ = false;
  size_t done_ = 0;
  MonoTime begin_, end_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void wait_for(event::Loop& loop, RedisStore& store) {
  while (!store.available()) {
    event::Timer timer(
        loop.timers(), [](void* self) { static_cast<event::Loop*>(self)->stop(); }, &loop);
    timer.set(loop.now() + Millis(10));
    loop.run();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1000;
  if (count == 0) return 2;
  Server server;
  event::Loop loop;
  RedisStore store(loop, {.name = "bench", .addresses = {server.address}, .timeout = Millis(5000)});
  wait_for(loop, store);
  Puts puts(loop, store, count);
  std::vector<double> single, pipelined, ratio;
  uint64_t writes = 0;
  for (int round = 0; round < kRounds; ++round) {
    single.push_back(puts.micros(false));
    const uint64_t before = store.figures().writes;
    pipelined.push_back(puts.micros(true));
    writes = store.figures().writes - before;
    ratio.push_back(single.back() / pipelined.back());
  }
  std::printf("%zu puts, medians of %d rounds; %zu failed\n", count, kRounds, puts.failed);
  std::printf("one after the other   %10.0f us   %6.2f us each\n", median(single),
              median(single) / static_cast<double>(count));
  std::printf("in one turn           %10.0f us   %6.2f us each, %llu write(s)\n", median(pipelined),
              median(pipelined) / static_cast<double>(count), static_cast<unsigned long long>(writes));
  std::printf("ratio                 %10.1f\n", median(ratio));
  return puts.failed == 0 ? 0 : 1;
}
