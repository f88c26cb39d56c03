#include "proxy/outbox.h"

#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <string>

#include "base/unique_fd.h"

using namespace sluice;
using event::IoStatus;
using proxy::Outbox;

namespace {

/// A stream whose socket takes little at a time, and its other end.
class SmallSocket final : private event::Stream::Handler {
 public:
  SmallSocket() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    const int small = 1;  // the kernel makes it its least
    REQUIRE(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
    REQUIRE(stream.open(loop_, ends[0], *this));
    other_.reset(ends[1]);
  }
  /// Everything that has arrived.
  std::string read() {
    std::string all;
    char bytes[4096];
    for (ssize_t got; (got = ::recv(other_.get(), bytes, sizeof(bytes), 0)) > 0;)
      all.append(bytes, static_cast<size_t>(got));
    return all;
  }
  /// Everything that the outbox has, however little goes at a time.
  std::string read_all(Outbox& outbox) {
    std::string all;
    IoStatus status;
    while ((status = outbox.flush(stream)) == IoStatus::again) all += read();
    REQUIRE(status == IoStatus::ok);
    return all + read();
  }
  void hang_up() { other_.reset(); }
  BlockPool& blocks() { return loop_.blocks(); }

 private:
  void on_readable() override {}
  void on_writable() override {}
  void on_error() override {}
  event::Loop loop_;

 public:
  event::Stream stream;

 private:
  UniqueFd other_;
};

std::string numbered(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += std::to_string(text.size()) + " ";
  text.resize(bytes);
  return text;
}

}  // namespace

TEST_CASE("pieces leave together and in order, and nothing is kept") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  CHECK(outbox.empty());
  CHECK(outbox.flush(socket.stream) == IoStatus::ok);
  for (const std::string_view piece : {"a", "", "bc", "def"}) outbox.add(piece);
  CHECK_FALSE(outbox.empty());
  CHECK(outbox.flush(socket.stream) == IoStatus::ok);
  CHECK(outbox.empty());
  CHECK(outbox.held() == 0);
  CHECK(outbox.sent() == 6);
  CHECK(socket.read() == "abcdef");
  CHECK(socket.blocks().lent_blocks() == 0);
}

TEST_CASE("what the socket does not take is held, and no view of it is used again") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  const std::string all = numbered(150'000);
  {
    std::string first = all.substr(0, 100'000), second = all.substr(100'000);
    outbox.add(first);
    outbox.add(second);
    REQUIRE(outbox.flush(socket.stream) == IoStatus::again);
    std::fill(first.begin(), first.end(), '!');
    std::fill(second.begin(), second.end(), '!');
  }
  CHECK(outbox.held() + outbox.sent() == all.size());
  CHECK(outbox.held() > 0);
  CHECK(socket.read_all(outbox) == all);
  CHECK(outbox.sent() == all.size());
  CHECK(socket.blocks().lent_blocks() == 0);
}

TEST_CASE("new pieces queue behind what is held") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  const std::string first = numbered(100'000);
  std::string seen;
  outbox.add(first);
  REQUIRE(outbox.flush(socket.stream) == IoStatus::again);
  outbox.add("second");
  outbox.add_chunk("third");
  REQUIRE(outbox.flush(socket.stream) == IoStatus::again);
  outbox.add("fourth");
  CHECK(socket.read_all(outbox) == first + "second5\r\nthird\r\nfourth");
}

TEST_CASE("any number of pieces may be added") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  const std::string all = numbered(1'000);
  for (size_t i = 0; i < all.size(); ++i) outbox.add(std::string_view(all).substr(i, 1));
  CHECK(socket.read_all(outbox) == all);
}

TEST_CASE(
    "chunks have their size in front and a line end behind; an empty one is left out, since it would end the body") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  const std::string long_one(0x1234, 'x');
  outbox.add_chunk("abc");
  outbox.add_chunk("");
  outbox.add_chunk(long_one);
  outbox.add("0\r\n\r\n");
  CHECK(socket.read_all(outbox) == "3\r\nabc\r\n1234\r\n" + long_one + "\r\n0\r\n\r\n");
}

TEST_CASE("any number of chunks may be added") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    outbox.add_chunk("payload");
    expected += "7\r\npayload\r\n";
  }
  CHECK(socket.read_all(outbox) == expected);
}

TEST_CASE("hold copies the pieces, so that the views may go") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  std::string piece = "before";
  outbox.add(piece);
  outbox.add_chunk(piece);
  outbox.hold();
  piece = "after!";
  CHECK(outbox.held() == 6 + 3 + 6 + 2);
  CHECK(socket.read_all(outbox) == "before6\r\nbefore\r\n");
}

TEST_CASE("after an error what was not sent is there for another stream") {
  SmallSocket dead, alive;
  Outbox outbox(alive.blocks());
  dead.hang_up();
  std::string piece = "head ";
  outbox.add(piece);
  outbox.add("body");
  CHECK(outbox.flush(dead.stream) == IoStatus::error);
  piece = "!!!!!";
  CHECK(outbox.sent() == 0);
  CHECK(outbox.held() == 9);
  CHECK(alive.read_all(outbox) == "head body");
}

TEST_CASE("clear forgets everything, and what was sent as well") {
  SmallSocket socket;
  Outbox outbox(socket.blocks());
  outbox.add("a");
  REQUIRE(outbox.flush(socket.stream) == IoStatus::ok);
  outbox.add("b");
  outbox.hold();
  outbox.add_chunk("c");
  outbox.clear();
  CHECK(outbox.empty());
  CHECK(outbox.sent() == 0);
  CHECK(socket.blocks().lent_blocks() == 0);
  outbox.add("d");
  CHECK(socket.read_all(outbox) == "ad");
}
