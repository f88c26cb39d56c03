#include "event/stream.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <functional>
#include <string>

#include "event/listener.h"

using namespace sluice;
using namespace std::string_view_literals;
using event::IoStatus;
using event::Listener;
using event::Loop;
using event::Stream;
using event::Timer;

namespace {
struct Events final : Stream::Handler {
  std::function<void()> readable = [] { FAIL("not expected to be readable"); };
  std::function<void()> writable = [] { FAIL("not expected to be writable"); };
  std::function<void()> error = [] { FAIL("not expected to fail"); };
  void on_readable() override { readable(); }
  void on_writable() override { writable(); }
  void on_error() override { error(); }
};

struct Accepted final : Listener::Handler {
  std::function<void(int, const SocketAddress&)> accepted = [](int fd, const SocketAddress&) { ::close(fd); };
  void on_accept(int fd, const SocketAddress& peer) override { accepted(fd, peer); }
  void on_accept_exhausted() override { FAIL("not expected to run out"); }
};

// Two connected sockets, the first for a Stream (which closes it), the second the test's.
struct Pair {
  Pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0); }
  ~Pair() {
    if (ends[1] >= 0) ::close(ends[1]);
  }
  void hang_up() { ::close(std::exchange(ends[1], -1)); }
  std::array<int, 2> ends{-1, -1};
};

struct OpenStream {
  OpenStream() { REQUIRE(stream.open(loop, pair.ends[0], events)); }
  Loop loop;
  Pair pair;
  Events events;
  Stream stream;
};

std::string drain(Stream& stream) {
  std::string all;
  char chunk[4096];
  for (;;) {
    const auto got = stream.read(chunk);
    if (got.status != IoStatus::ok) return all;
    all.append(chunk, got.bytes);
  }
}

void fill(Stream& stream) {
  const std::string block(65536, 'x');
  while (stream.write(block).status == IoStatus::ok) {
  }
}
}  // namespace

TEST_CASE_METHOD(OpenStream, "what the peer sends becomes readable, and its end is eof", "[stream]") {
  std::string got;
  events.readable = [&] {
    char chunk[64];
    const auto result = stream.read(chunk);
    if (result.status == IoStatus::ok) {
      got.append(chunk, result.bytes);
      pair.hang_up();
    } else {
      CHECK(result.status == IoStatus::eof);
      loop.stop();
    }
  };
  REQUIRE(::write(pair.ends[1], "hello", 5) == 5);
  loop.run();
  CHECK(got == "hello");
  CHECK(stream.read(loop.read_buffer()).status == IoStatus::eof);
}

TEST_CASE_METHOD(OpenStream, "reading a socket without bytes says again", "[stream]") {
  CHECK(stream.read(loop.read_buffer()).status == IoStatus::again);
}

TEST_CASE_METHOD(OpenStream, "readiness is level-triggered: what is left comes again next turn", "[stream]") {
  std::string got;
  events.readable = [&] {
    char one;
    REQUIRE(stream.read({&one, 1}).bytes == 1);
    got += one;
    if (got.size() == 3) loop.stop();
  };
  REQUIRE(::write(pair.ends[1], "abc", 3) == 3);
  loop.run();
  CHECK(got == "abc");
}

TEST_CASE_METHOD(OpenStream, "pieces are gathered in order", "[stream]") {
  std::string a = "GET ", b = "/path", c = " HTTP/1.1";
  const std::array<iovec, 3> pieces = {iovec{a.data(), a.size()}, iovec{b.data(), b.size()}, iovec{c.data(), c.size()}};
  const auto sent = stream.write(pieces);
  CHECK(sent.status == IoStatus::ok);
  CHECK(sent.bytes == 18);
  char chunk[64];
  CHECK(std::string_view(chunk, ::read(pair.ends[1], chunk, sizeof chunk)) == "GET /path HTTP/1.1");
}

TEST_CASE_METHOD(OpenStream, "a full socket says again, and on_writable comes when there is room", "[stream]") {
  fill(stream);
  CHECK(stream.write("more"sv).status == IoStatus::again);
  int calls = 0;
  events.writable = [&] {
    ++calls;
    CHECK(stream.write("more"sv).status == IoStatus::ok);
    stream.want_write(false);
    loop.post([&] { loop.stop(); });
  };
  stream.want_write(true);
  CHECK(stream.wants_write());
  loop.post([&] {
    std::string sink(1 << 20, ' ');
    while (::read(pair.ends[1], sink.data(), sink.size()) > 0) {
    }
  });
  loop.run();
  CHECK(calls == 1);
}

TEST_CASE_METHOD(OpenStream, "a stream that does not want to read is not told of bytes until it does", "[stream]") {
  stream.want_read(false);
  REQUIRE(::write(pair.ends[1], "x", 1) == 1);
  int turns = 0;
  std::function<void()> turn = [&] {
    if (++turns < 5) return loop.post(turn);
    events.readable = [&] {
      CHECK(drain(stream) == "x");
      loop.stop();
    };
    stream.want_read(true);
  };
  loop.post(turn);
  loop.run();
  CHECK(turns == 5);
}

TEST_CASE_METHOD(OpenStream, "a paused stream whose peer hung up on both sides does not spin", "[stream]") {
  stream.want_read(false);
  stream.shutdown_write();
  pair.hang_up();
  uint64_t before = 0;
  Timer late(
      loop.timers(), [](void* raw) { static_cast<Loop*>(raw)->stop(); }, &loop);
  loop.post([&] { before = loop.turns(); });
  late.set(loop.now() + Millis(60));
  events.error = [] {};
  loop.run();
  CHECK(loop.turns() - before <= 4);
}

TEST_CASE_METHOD(OpenStream, "after shutdown_write the peer sees the end and can still answer", "[stream]") {
  stream.shutdown_write();
  char byte;
  CHECK(::read(pair.ends[1], &byte, 1) == 0);
  REQUIRE(::write(pair.ends[1], "late", 4) == 4);
  std::string got;
  events.readable = [&] {
    got = drain(stream);
    loop.stop();
  };
  loop.run();
  CHECK(got == "late");
}

TEST_CASE_METHOD(OpenStream, "close inside a handler ends its calls, also those of the same turn", "[stream]") {
  REQUIRE(::write(pair.ends[1], "x", 1) == 1);
  stream.want_write(true);
  int calls = 0;
  events.writable = events.readable = [&] {
    ++calls;
    stream.close();
    stream.close();
    loop.post([&] { loop.stop(); });
  };
  loop.run();
  CHECK(calls == 1);
  CHECK_FALSE(stream.is_open());
}

TEST_CASE("a stream may be destroyed inside its own handler", "[stream]") {
  Loop loop;
  Pair pair;
  Events events;
  auto stream = std::make_unique<Stream>();
  REQUIRE(stream->open(loop, pair.ends[0], events));
  REQUIRE(::write(pair.ends[1], "x", 1) == 1);  // so that on_readable() would come next
  stream->want_write(true);
  events.writable = [&] {
    stream.reset();
    loop.stop();
  };
  loop.run();
  CHECK(stream == nullptr);
}

TEST_CASE_METHOD(OpenStream, "a stream opened again inside its own handler does not get the rest of the old event",
                 "[stream]") {
  Pair second;
  REQUIRE(::write(pair.ends[1], "x", 1) == 1);
  stream.want_write(true);
  events.writable = [&] {
    stream.close();
    REQUIRE(stream.open(loop, second.ends[0], events));  // nothing to read there
    loop.post([&] { loop.stop(); });
  };
  loop.run();
  CHECK(stream.is_open());
}

TEST_CASE("closing one stream inside another's handler drops its pending call of the same turn", "[stream]") {
  Loop loop;
  std::array<Pair, 2> pairs;
  std::array<Events, 2> events;
  std::array<Stream, 2> streams;
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(streams[i].open(loop, pairs[i].ends[0], events[i]));
    REQUIRE(::write(pairs[i].ends[1], "x", 1) == 1);
    events[i].readable = [&, i] {
      ++calls;
      streams[1 - i].close();
      CHECK(drain(streams[i]) == "x");
      loop.post([&] { loop.stop(); });
    };
  }
  loop.run();
  CHECK(calls == 1);
}

TEST_CASE("a stream and a number used again in the same turn do not get the old one's event", "[stream]") {
  Loop loop;
  std::array<Pair, 2> pairs;
  std::array<Events, 2> events;
  std::array<Stream, 2> streams;
  Events silent;
  int fresh[2];
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(streams[i].open(loop, pairs[i].ends[0], events[i]));
    REQUIRE(::write(pairs[i].ends[1], "x", 1) == 1);
    events[i].readable = [&, i] {
      ++calls;
      CHECK(drain(streams[i]) == "x");
      Stream& other = streams[1 - i];
      const int number = other.fd();
      other.close();
      REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fresh) == 0);
      REQUIRE(fresh[0] == number);
      REQUIRE(other.open(loop, fresh[0], silent));
      loop.post([&] { loop.stop(); });
    };
  }
  loop.run();
  CHECK(calls == 1);
  ::close(fresh[1]);
}

TEST_CASE("a stream destroyed inside another's handler gets no event of the same turn", "[stream]") {
  Loop loop;
  std::array<Pair, 2> pairs;
  std::array<Events, 2> events;
  std::array<std::unique_ptr<Stream>, 2> streams = {std::make_unique<Stream>(), std::make_unique<Stream>()};
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(streams[i]->open(loop, pairs[i].ends[0], events[i]));
    REQUIRE(::write(pairs[i].ends[1], "x", 1) == 1);
    events[i].readable = [&, i] {
      ++calls;
      streams[1 - i].reset();
      CHECK(drain(*streams[i]) == "x");
      loop.post([&] { loop.stop(); });
    };
  }
  loop.run();
  CHECK(calls == 1);
}

TEST_CASE("connect reports success as on_writable with a good outcome", "[stream]") {
  Loop loop;
  Accepted accepted;
  auto listener = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), accepted);
  REQUIRE(listener.has_value());
  Events events;
  Stream stream;
  events.writable = [&] {
    CHECK(stream.outcome().has_value());
    stream.want_write(false);
    events.readable = [&] {
      CHECK(stream.read(loop.read_buffer()).status == IoStatus::eof);
      loop.stop();
    };
  };
  REQUIRE(stream.connect(loop, (*listener)->address(), events).has_value());
  loop.run();
}

TEST_CASE("connect to a closed port fails with the system's reason", "[stream]") {
  Loop loop;
  Accepted accepted;
  SocketAddress address;
  {
    auto listener = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), accepted);
    REQUIRE(listener.has_value());
    address = (*listener)->address();
  }
  Events events;
  Stream stream;
  Result<void> outcome;
  events.writable = events.error = [&] {
    outcome = stream.outcome();
    stream.close();
    loop.stop();
  };
  if (stream.connect(loop, address, events)) {
    loop.run();
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().reason == Reason::connect_failed);
    CHECK(outcome.error().detail == "Connection refused"sv);
  }
  CHECK_FALSE(stream.is_open());
}

TEST_CASE("connect to a missing unix socket is an immediate connect_failed", "[stream]") {
  Loop loop;
  Events events;
  Stream stream;
  const auto result = stream.connect(loop, *SocketAddress::parse("unix:/nonexistent/sluice.sock"), events);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().reason == Reason::connect_failed);
  CHECK_FALSE(stream.is_open());
}

TEST_CASE("close_with_reset makes the peer's read fail instead of end", "[stream]") {
  Loop loop;
  Accepted accepted;
  Events server_events;
  Stream server;
  accepted.accepted = [&](int fd, const SocketAddress&) {
    REQUIRE(server.open(loop, fd, server_events));
    server.close_with_reset();
  };
  auto listener = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), accepted);
  REQUIRE(listener.has_value());
  Events events;
  Stream client;
  bool failed = false;
  events.writable = [&] { client.want_write(false); };
  events.readable = events.error = [&] {
    failed = !client.outcome() || client.read(loop.read_buffer()).status == IoStatus::error;
    client.close();
    loop.stop();
  };
  REQUIRE(client.connect(loop, (*listener)->address(), events).has_value());
  loop.run();
  CHECK(failed);
}

TEST_CASE_METHOD(OpenStream, "a file is sent from the offset given", "[stream]") {
  const int file = ::memfd_create("sluice-test", MFD_CLOEXEC);
  REQUIRE(::write(file, "0123456789", 10) == 10);
  const auto sent = stream.write_file(file, 3, 4);
  CHECK(sent.status == IoStatus::ok);
  CHECK(sent.bytes == 4);
  char chunk[16];
  CHECK(std::string_view(chunk, ::read(pair.ends[1], chunk, sizeof chunk)) == "3456");
  CHECK(stream.write_file(file, 10, 4).status == IoStatus::eof);
  ::close(file);
}

TEST_CASE("bytes cross a pipe by splice from one stream to another", "[stream]") {
  Loop loop;
  Pair from, to;
  Events events;
  Stream source, sink;
  REQUIRE(source.open(loop, from.ends[0], events));
  REQUIRE(sink.open(loop, to.ends[0], events));
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_NONBLOCK | O_CLOEXEC) == 0);
  CHECK(source.splice_to_pipe(pipe[1], 100).status == IoStatus::again);
  REQUIRE(::write(from.ends[1], "spliced", 7) == 7);
  const auto in = source.splice_to_pipe(pipe[1], 100);
  CHECK(in.status == IoStatus::ok);
  CHECK(in.bytes == 7);
  CHECK(sink.splice_from_pipe(pipe[0], 7, false).bytes == 7);
  char chunk[16];
  CHECK(std::string_view(chunk, ::read(to.ends[1], chunk, sizeof chunk)) == "spliced");
  from.hang_up();
  CHECK(source.splice_to_pipe(pipe[1], 100).status == IoStatus::eof);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

namespace {
// A Stream whose TCP peer sent "early" and then reset the connection.
struct ResetPeer {
  ResetPeer() {
    doorman.accepted = [this](int fd, const SocketAddress&) {
      accepted_fd = fd;
      loop.stop();
    };
    auto listener = Listener::open(loop, *SocketAddress::parse("127.0.0.1:0"), doorman);
    REQUIRE(listener.has_value());
    const SocketAddress address = (*listener)->address();
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(client, address.get(), address.length()) == 0);
    loop.run();
    REQUIRE(::send(client, "early", 5, 0) == 5);
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(client);
    REQUIRE(stream.open(loop, accepted_fd, events));
  }
  Loop loop;
  Accepted doorman;
  Events events;
  Stream stream;
  int accepted_fd = -1;
};
}  // namespace

TEST_CASE("what came before a reset is read before the error shows", "[stream]") {
  ResetPeer scene;
  const bool also_writing = GENERATE(false, true);
  scene.stream.want_write(also_writing);
  std::string got;
  scene.events.readable = [&] {
    char chunk[64];
    const auto result = scene.stream.read(chunk);
    if (result.status == IoStatus::ok) {
      got.append(chunk, result.bytes);
      return;
    }
    CHECK(result.status == IoStatus::error);
    scene.stream.close();
    scene.loop.stop();
  };
  scene.loop.run();
  CHECK(got == "early");
}

TEST_CASE("a stream that does not read is told of a reset once, by on_error", "[stream]") {
  ResetPeer scene;
  scene.stream.want_read(false);
  int errors = 0;
  scene.events.error = [&] {
    ++errors;
    scene.stream.want_read(true);
    scene.loop.post([&] { scene.loop.post([&] { scene.loop.stop(); }); });
  };
  scene.loop.run();
  CHECK(errors == 1);
  CHECK(scene.stream.is_open());
}

TEST_CASE("open refuses a descriptor that cannot be watched, and closes it", "[stream]") {
  Loop loop;
  Events events;
  Stream stream;
  const int file = ::memfd_create("sluice-test", MFD_CLOEXEC);
  CHECK_FALSE(stream.open(loop, file, events));
  CHECK_FALSE(stream.is_open());
  CHECK(::fcntl(file, F_GETFD) == -1);
}
