// What a Stream makes of a Transport: when it calls its handler, and what it watches the socket for. The transport is a fake
// whose every step the test writes; the real one has its tests in tests/unit/tls.
#include "event/transport.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "../loop_driver.h"
#include "base/unique_fd.h"

using namespace sluice;
using event::IoResult;
using event::IoStatus;
using event::Stream;
using event::Transport;
using namespace std::string_view_literals;

namespace {

struct Script {
  std::function<IoResult()> handshake = [] { return IoResult{IoStatus::ok}; };
  std::function<IoResult(std::span<char>)> read = [](std::span<char>) { return IoResult{IoStatus::again}; };
  std::function<IoResult(std::string_view)> write = [](std::string_view bytes) {
    return IoResult{IoStatus::ok, bytes.size()};
  };
  Transport::Need handshake_needs = Transport::Need::writable;
  Transport::Need read_needs = Transport::Need::readable;
  Transport::Need write_needs = Transport::Need::writable;
  bool pending = false;
  const char* failure = "";
  int ends = 0;
  int living = 0;
};

class Scripted final : public Transport {
 public:
  explicit Scripted(Script& script) : Transport(script.handshake_needs), script_(script) { ++script_.living; }
  ~Scripted() override { --script_.living; }

  IoResult handshake() override {
    return with_needs([&] { return script_.handshake(); });
  }
  IoResult read(std::span<char> into) override {
    return with_needs([&] { return script_.read(into); });
  }
  IoResult write(std::span<const iovec> pieces) override {
    std::string bytes;
    for (const iovec& piece : pieces) bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    return with_needs([&] { return script_.write(bytes); });
  }
  void end_writing() override { ++script_.ends; }
  [[nodiscard]] bool has_pending() const override { return script_.pending; }
  [[nodiscard]] const char* failure() const override { return script_.failure; }

 private:
  template <typename Step>
  IoResult with_needs(const Step& step) {
    const IoResult result = step();
    handshake_needs_ = script_.handshake_needs;
    read_needs_ = script_.read_needs;
    write_needs_ = script_.write_needs;
    return result;
  }
  Script& script_;
};

/// A stream on one end of a pair of sockets, the other end the test's.
struct World : Stream::Handler {
  World() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    peer.reset(ends[1]);
    REQUIRE(stream.open(loop, ends[0], *this));
  }
  virtual ~World() = default;
  void secure() { stream.secure(std::make_unique<Scripted>(script)); }
  void establish() {
    secure();
    REQUIRE(driver.until([this] { return writables == 1; }));
  }
  void peer_says(std::string_view text) {
    REQUIRE(::write(peer.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

  void on_readable() override {
    ++readables;
    if (then_readable) then_readable();
  }
  void on_writable() override {
    if (++writables == 1) stream.want_write(false);  // that of the handshake
    if (then_writable) then_writable();
  }
  void on_error() override { ++errors; }

  event::Loop loop;
  sluice::test::Driver driver{loop};
  UniqueFd peer;
  Script script;
  Stream stream;
  std::function<void()> then_readable;
  std::function<void()> then_writable;
  int readables = 0, writables = 0, errors = 0;
};

}  // namespace

TEST_CASE_METHOD(World, "the handshake runs by itself, and its end is heard of once", "[transport]") {
  int steps = 0;
  script.handshake = [&] {
    ++steps;
    script.handshake_needs = steps == 1 ? Transport::Need::readable : Transport::Need::writable;
    return IoResult{steps == 3 ? IoStatus::ok : IoStatus::again};
  };
  then_writable = [&] { CHECK(readables == 0); };
  secure();
  REQUIRE(driver.until([&] { return steps == 1; }));
  driver.turns(3);
  CHECK(steps == 1);  // the socket is writable all the time, but that is not what it waits for
  peer_says("hello");
  REQUIRE(driver.until([&] { return writables > 0; }));
  CHECK(steps == 3);
  CHECK(stream.outcome().has_value());
  REQUIRE(driver.until([&] { return readables > 0; }));
  CHECK(writables == 1);
}

TEST_CASE_METHOD(World, "a stream that becomes a secure one hears of nothing before its handshake is done",
                 "[transport]") {
  int steps = 0;
  script.handshake = [&] {
    script.handshake_needs = Transport::Need::readable;
    return IoResult{++steps == 2 ? IoStatus::ok : IoStatus::again};
  };
  then_writable = [&] {
    writables == 1 ? secure() : stream.want_write(false);
    CHECK(readables == 0);
  };
  peer_says("hello");
  stream.want_write(true);  // both in one event
  REQUIRE(driver.until([&] { return writables == 2; }));
  CHECK(steps == 2);
  REQUIRE(driver.until([&] { return readables > 0; }));
}

TEST_CASE_METHOD(World, "a handshake that fails is an error with a reason, and nothing comes after it", "[transport]") {
  script.handshake = [&] {
    script.failure = "of this and that";
    return IoResult{GENERATE(IoStatus::error, IoStatus::eof)};
  };
  secure();
  REQUIRE(driver.until([&] { return errors > 0; }));
  REQUIRE_FALSE(stream.outcome().has_value());
  CHECK(stream.outcome().error().reason == Reason::tls_handshake_failed);
  CHECK(stream.outcome().error().detail == "of this and that"sv);
  CHECK(stream.failure() == "of this and that");
  peer_says("x");
  driver.turns(3);
  CHECK(errors == 1);
  CHECK(readables + writables == 0);
}

TEST_CASE_METHOD(World, "bytes that the transport holds are told of, though the socket is silent", "[transport]") {
  establish();
  std::string held = "abc", got;
  script.read = [&](std::span<char> into) {
    into[0] = held.front();
    held.erase(0, 1);
    script.pending = !held.empty();
    char drained[16];
    (void)!::recv(stream.fd(), drained, sizeof drained, 0);
    return IoResult{IoStatus::ok, 1};
  };
  then_readable = [&] {
    char one;
    REQUIRE(stream.read({&one, 1}).bytes == 1);
    got += one;
  };
  peer_says("x");
  SECTION("a byte at a time") {
    REQUIRE(driver.until([&] { return got == "abc"; }));
    driver.turns(3);
    CHECK(readables == 3);
  }
  SECTION("not while nobody wants to read, and then at once") {
    REQUIRE(driver.until([&] {
      if (got == "a") stream.want_read(false);
      return got == "a";
    }));
    driver.turns(3);
    CHECK(got == "a");
    stream.want_read(true);
    REQUIRE(driver.until([&] { return got == "abc"; }));
  }
  SECTION("again and again to who does not read at once") {
    then_readable = [] {};
    REQUIRE(driver.until([&] { return readables > 0; }));
    script.pending = true;
    (void)!::recv(stream.fd(), loop.read_buffer().data(), 16, 0);
    const int before = readables;
    stream.want_read(false);
    stream.want_read(true);
    REQUIRE(driver.until([&] { return readables >= before + 3; }));
  }
  SECTION("not after close()") {
    then_readable = [&] {
      char one;
      REQUIRE(stream.read({&one, 1}).bytes == 1);
      stream.close();
    };
    REQUIRE(driver.until([&] { return readables == 1; }));
    driver.turns(3);
    CHECK(readables == 1);
  }
}

TEST_CASE_METHOD(World, "reading that must write first waits for room", "[transport]") {
  establish();
  int reads = 0;
  script.read = [&](std::span<char>) {
    script.read_needs = ++reads == 1 ? Transport::Need::writable : Transport::Need::readable;
    return IoResult{IoStatus::again};
  };
  then_readable = [&] { (void)stream.read(loop.read_buffer()); };
  // No room, while there is something to read.
  const std::string block(65536, 'x');
  while (::send(stream.fd(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
  }
  peer_says("x");
  REQUIRE(driver.until([&] { return reads == 1; }));
  driver.turns(3);
  CHECK(reads == 1);
  std::string sink(1 << 20, '\0');
  while (::recv(peer.get(), sink.data(), sink.size(), 0) > 0) {
  }
  REQUIRE(driver.until([&] { return reads > 1; }));
}

TEST_CASE_METHOD(World, "writing that must read first waits for bytes, and nobody is told that they can be read",
                 "[transport]") {
  establish();
  stream.want_read(false);
  int writes = 0;
  script.write = [&](std::string_view bytes) {
    if (++writes == 1) {
      script.write_needs = Transport::Need::readable;
      return IoResult{IoStatus::again};
    }
    script.write_needs = Transport::Need::writable;
    return IoResult{IoStatus::ok, bytes.size()};
  };
  then_writable = [&] { stream.want_write(stream.write("hello").status == IoStatus::again); };
  stream.want_write(true);
  REQUIRE(driver.until([&] { return writes == 1; }));
  driver.turns(3);
  CHECK(writes == 1);
  peer_says("x");
  REQUIRE(driver.until([&] { return writes == 2; }));
  CHECK(readables == 0);
}

TEST_CASE_METHOD(World, "close and shutdown_write take leave of the peer, a reset does not", "[transport]") {
  establish();
  SECTION("close") {
    stream.close();
    CHECK(script.ends == 1);
    CHECK(script.living == 0);
  }
  SECTION("shutdown_write") {
    stream.shutdown_write();
    CHECK(script.ends == 1);
    CHECK(script.living == 1);
    char byte;
    CHECK(::recv(peer.get(), &byte, 1, 0) == 0);
  }
  SECTION("reset") {
    stream.close_with_reset();
    CHECK(script.ends == 0);
    CHECK(script.living == 0);
  }
}

TEST_CASE_METHOD(World, "a file passes through the transport, and nothing can be spliced past it", "[transport]") {
  CHECK(stream.can_splice());
  establish();
  CHECK_FALSE(stream.can_splice());
  const UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  REQUIRE(::write(file.get(), "0123456789", 10) == 10);
  std::string got;
  script.write = [&](std::string_view bytes) {
    got += bytes.substr(0, 3);
    return IoResult{IoStatus::ok, 3};
  };
  CHECK(stream.write_file(file.get(), 2, 5).bytes == 3);
  CHECK(stream.write_file(file.get(), 5, 100).bytes == 3);
  CHECK(got == "234567");
  CHECK(stream.write_file(file.get(), 10, 5).status == IoStatus::eof);
}
