#include "event/listener.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

using namespace sluice;
using event::Listener;
using event::Loop;
using event::Timer;

namespace {
struct Doorman final : Listener::Handler {
  std::function<void(int, const SocketAddress&)> accepted = [](int fd, const SocketAddress&) { ::close(fd); };
  std::function<void()> exhausted = [] { FAIL("not expected to run out"); };
  void on_accept(int fd, const SocketAddress& peer) override { accepted(fd, peer); }
  void on_accept_exhausted() override { exhausted(); }
};

int dial(const SocketAddress& address) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(fd >= 0);
  REQUIRE(::connect(fd, address.get(), address.length()) == 0);
  return fd;
}

// A directory of its own for unix sockets, removed at the end.
struct TemporaryFolder {
  TemporaryFolder() { REQUIRE(::mkdtemp(path) != nullptr); }
  ~TemporaryFolder() { ::rmdir(path); }
  char path[32] = "/tmp/sluice-test-XXXXXX";
};

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  REQUIRE(::getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}
}  // namespace

TEST_CASE("port 0 is resolved, and the peer's address is told", "[listener]") {
  Loop loop;
  Doorman doorman;
  auto listener = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), doorman);
  REQUIRE(listener.has_value());
  CHECK((*listener)->address().port() != 0);
  const int client = dial((*listener)->address());
  SocketAddress seen;
  doorman.accepted = [&](int fd, const SocketAddress& peer) {
    seen = peer;
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    ::close(fd);
    loop.stop();
  };
  loop.run();
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  REQUIRE(::getsockname(client, reinterpret_cast<sockaddr*>(&own), &length) == 0);
  CHECK(seen == SocketAddress::from(reinterpret_cast<sockaddr*>(&own), length));
  ::close(client);
}

TEST_CASE("two listeners share a port, unless that was not asked for", "[listener]") {
  Loop loop;
  Doorman doorman;
  auto first = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), doorman);
  REQUIRE(first.has_value());
  auto second = Listener::open(loop, (*first)->address(), doorman);
  CHECK(second.has_value());
  auto alone = Listener::open(loop, (*first)->address(), doorman, false);
  REQUIRE_FALSE(alone.has_value());
  CHECK(std::string(alone.error().detail) == "Address already in use");
}

TEST_CASE("an IPv6 listener takes IPv6 clients only", "[listener]") {
  Loop loop;
  Doorman doorman;
  auto six = Listener::open(loop, *SocketAddress::parse("[::]:0"), doorman, false);
  if (!six.has_value()) return;  // a machine without IPv6
  const std::string port = std::to_string((*six)->address().port());
  auto four = Listener::open(loop, *SocketAddress::parse("0.0.0.0:" + port), doorman, false);
  CHECK(four.has_value());
}

TEST_CASE("a unix socket file is made, a stale one replaced, and ours removed at the end", "[listener]") {
  Loop loop;
  Doorman doorman;
  TemporaryFolder folder;
  const std::string path = std::string(folder.path) + "/s";
  const auto address = *SocketAddress::parse("unix:" + path);
  const int stale = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(stale, address.get(), address.length()) == 0);
  ::close(stale);
  {
    auto listener = Listener::open(loop, address, doorman);
    REQUIRE(listener.has_value());
    CHECK((*listener)->address() == address);
    doorman.accepted = [&](int fd, const SocketAddress& peer) {
      CHECK(peer.family() == AF_UNIX);
      ::close(fd);
      loop.stop();
    };
    const int client = dial(address);
    loop.run();
    ::close(client);
    auto second = Listener::open(loop, address, doorman);
    CHECK_FALSE(second.has_value());  // someone lives there
  }
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("a file that is no socket is left alone", "[listener]") {
  Loop loop;
  Doorman doorman;
  TemporaryFolder folder;
  const std::string path = std::string(folder.path) + "/file";
  ::close(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  auto listener = Listener::open(loop, *SocketAddress::parse("unix:" + path), doorman);
  CHECK_FALSE(listener.has_value());
  CHECK(::unlink(path.c_str()) == 0);
}

TEST_CASE("another process's socket file that took the path is not removed", "[listener]") {
  Loop loop;
  Doorman doorman;
  TemporaryFolder folder;
  const std::string path = std::string(folder.path) + "/s";
  const auto address = *SocketAddress::parse("unix:" + path);
  auto old = Listener::open(loop, address, doorman);
  REQUIRE(old.has_value());
  REQUIRE(::unlink(path.c_str()) == 0);
  auto successor = Listener::open(loop, address, doorman);
  REQUIRE(successor.has_value());
  old->reset();
  CHECK(::access(path.c_str(), F_OK) == 0);
}

TEST_CASE("a listener may be destroyed inside on_accept", "[listener]") {
  Loop loop;
  Doorman doorman;
  auto opened = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), doorman);
  REQUIRE(opened.has_value());
  std::unique_ptr<Listener> listener = std::move(*opened);
  const int clients[] = {dial(listener->address()), dial(listener->address())};
  int accepts = 0;
  doorman.accepted = [&](int fd, const SocketAddress&) {
    ++accepts;
    ::close(fd);
    listener.reset();
    loop.stop();
  };
  loop.run();
  CHECK(accepts == 1);
  for (const int client : clients) ::close(client);
}

TEST_CASE("out of descriptors: one connection is closed, accepting pauses without spinning, then goes on",
          "[listener]") {
  Loop loop;
  Doorman doorman;
  auto listener = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), doorman);
  REQUIRE(listener.has_value());
  const int first = dial((*listener)->address());
  const int second = dial((*listener)->address());

  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(second) + 1;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  int exhausted = 0;
  uint64_t turns = 0;
  doorman.exhausted = [&] {
    ++exhausted;
    turns = loop.turns();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  };
  int accepts = 0;
  doorman.accepted = [&](int fd, const SocketAddress&) {
    ++accepts;
    ::close(fd);
    loop.stop();
  };
  const MonoTime start = loop.now();
  loop.run();
  CHECK(exhausted == 1);
  CHECK(accepts == 1);
  CHECK(loop.turns() - turns <= 4);
  CHECK(loop.now() - start >= Listener::kPauseAfterExhaustion);
  char byte;
  CHECK(::recv(first, &byte, 1, 0) <= 0);  // a prompt end, not a hang
  ::close(first);
  ::close(second);
}
