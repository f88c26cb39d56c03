#include "upstream/request_writer.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>

#include "base/unique_fd.h"
#include "event/loop.h"
#include "http/chunked.h"

using namespace sluice;
using event::IoStatus;

namespace {

constexpr std::string_view kHead = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

struct Wire final : event::Stream::Handler {
  Wire() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    const int small = 4096;
    REQUIRE(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    REQUIRE(stream.open(loop, ends[0], *this));
    peer.reset(ends[1]);
  }
  void on_readable() override {}
  void on_writable() override {}
  void on_error() override {}

  std::string read() {
    std::string all;
    char bytes[1000];
    for (ssize_t got; (got = ::recv(peer.get(), bytes, sizeof bytes, 0)) > 0;) {
      all.append(bytes, static_cast<size_t>(got));
    }
    return all;
  }
  // Offers what is left of `body` until all of it is out.
  std::string write(upstream::RequestWriter& writer, std::string_view body, bool last, std::string_view trailers = {}) {
    std::string all;
    for (;;) {
      const size_t half = body.size() / 2;
      const iovec pieces[] = {{const_cast<char*>(body.data()), half},
                              {const_cast<char*>(body.data()) + half, body.size() - half}};
      const event::IoResult result = writer.write(stream, pieces, last, trailers);
      body.remove_prefix(result.bytes);
      all += read();
      if (result.status == IoStatus::ok) break;
      REQUIRE(result.status == IoStatus::again);
    }
    CHECK(body.empty());
    return all;
  }

  event::Loop loop;
  event::Stream stream;
  UniqueFd peer;
};

std::string decoded(std::string_view bytes, std::string* trailers = nullptr) {
  http::ChunkedDecoder decoder;
  std::string body;
  for (;;) {
    const auto step = decoder.next(bytes);
    REQUIRE(step.has_value());
    body += step->data;
    bytes.remove_prefix(step->consumed);
    if (step->done) break;
    REQUIRE(step->consumed > 0);
  }
  CHECK(bytes.empty());
  if (trailers != nullptr) *trailers = decoder.trailers();
  return body;
}

}  // namespace

TEST_CASE("a request without a body is its head") {
  Wire wire;
  upstream::RequestWriter writer;
  writer.begin("GET / HTTP/1.1\r\n\r\n", false);
  CHECK_FALSE(writer.has_sent());
  CHECK(wire.write(writer, "", true) == "GET / HTTP/1.1\r\n\r\n");
  CHECK(writer.has_sent());
  CHECK(wire.write(writer, "", true).empty());
}

TEST_CASE("a body of known length follows the head as it is, in as many pieces as the socket takes") {
  Wire wire;
  upstream::RequestWriter writer;
  const std::string body(300'000, 'x');
  writer.begin("POST / HTTP/1.1\r\n\r\n", false);
  CHECK(wire.write(writer, body, true) == "POST / HTTP/1.1\r\n\r\n" + body);
}

TEST_CASE("what is offered at once is one chunk, and the end leaves with the last one") {
  Wire wire;
  upstream::RequestWriter writer;
  writer.begin(kHead, true);
  CHECK(wire.write(writer, "hello", false) == std::string(kHead) + "5\r\nhello\r\n");
  CHECK(wire.write(writer, "", false).empty());
  CHECK(wire.write(writer, "abc", true) == "3\r\nabc\r\n0\r\n\r\n");
  CHECK(wire.write(writer, "", true).empty());
}

TEST_CASE("trailers stand behind the last chunk") {
  Wire wire;
  upstream::RequestWriter writer;
  writer.begin(kHead, true);
  CHECK(wire.write(writer, "a", true, "x: 1\r\n\r\n") == std::string(kHead) + "1\r\na\r\n0\r\nx: 1\r\n\r\n");
}

TEST_CASE("chunks that the socket takes in parts keep their bounds") {
  Wire wire;
  upstream::RequestWriter writer;
  std::string body(500'000, ' ');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  writer.begin(kHead, true);
  std::string sent = wire.write(writer, body.substr(0, 250'000), false);
  sent += wire.write(writer, body.substr(250'000), true, "t: 1\r\n\r\n");
  REQUIRE(sent.substr(0, kHead.size()) == kHead);
  std::string trailers;
  CHECK(decoded(std::string_view(sent).substr(kHead.size()), &trailers) == body);
  CHECK(trailers == "t: 1\r\n\r\n");
}
