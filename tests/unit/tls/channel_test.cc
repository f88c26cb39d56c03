// A Channel as a server's, step by step: when what leaves for the client.
#include "tls/channel.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "base/unique_fd.h"
#include "certificates.h"
#include "tls/server_context.h"

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::test;
using event::IoResult;
using event::IoStatus;

namespace {

std::shared_ptr<const ServerContext> make_context() {
  const Identity made = make_identity("server", {.alternative_names = "DNS:a.test"});
  Failure failure;
  const auto certificate = Certificate::make(
      {.certificate_pem = made.certificate_pem(), .key_pem = made.key_pem(), .ocsp_der = {}}, failure);
  auto context = ServerContext::make({.certificates = {certificate}, .tickets = TicketKeys::own()}, failure);
  REQUIRE(context != nullptr);
  return context;
}

/// A server's channel, and OpenSSL's client at the other end.
struct World {
  explicit World(int version = TLS1_3_VERSION) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
    channel = context->accept(ends[0]);
    SSL_CTX_set_max_proto_version(client_context.get(), version);
    client.reset(SSL_new(client_context.get()));
    SSL_set_fd(client.get(), ends[1]);
    SSL_set_connect_state(client.get());
  }
  /// What waits for the client.
  [[nodiscard]] int sent() const {
    int bytes = 0;
    REQUIRE(::ioctl(theirs.get(), FIONREAD, &bytes) == 0);
    return bytes;
  }
  IoStatus step() {
    SSL_do_handshake(client.get());
    return channel->handshake().status;
  }
  IoStatus answer(std::string text) {
    const iovec piece{text.data(), text.size()};
    return channel->write({&piece, 1}).status;
  }
  std::string read() {
    std::string got(100, '\0');
    const int bytes = SSL_read(client.get(), got.data(), static_cast<int>(got.size()));
    got.resize(static_cast<size_t>(std::max(bytes, 0)));
    return got;
  }

  std::shared_ptr<const ServerContext> context = make_context();
  UniqueFd ours;
  UniqueFd theirs;
  std::unique_ptr<Channel> channel;
  SslContextPtr client_context{SSL_CTX_new(TLS_client_method())};
  SslPtr client;
};

/// Takes all the room that the socket has; what was put there is taken back by drain().
size_t fill(int fd) {
  const std::string bytes(1024, 'x');
  size_t filled = 0;
  while (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) filled += bytes.size();
  return filled;
}
void drain(int fd, size_t bytes) {
  std::string into(bytes, '\0');
  REQUIRE(::recv(fd, into.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes));
}

}  // namespace

TEST_CASE("tickets of TLS 1.3 leave with the first answer") {
  World world;
  CHECK(world.step() == IoStatus::again);
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);
  CHECK(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.sent() == 0);
  CHECK(world.answer("answer") == IoStatus::ok);
  CHECK(world.read() == "answer");
  CHECK(SSL_SESSION_is_resumable(SSL_get_session(world.client.get())) == 1);
}

TEST_CASE("tickets of TLS 1.3 leave with the end, if there is no answer") {
  World world;
  CHECK(world.step() == IoStatus::again);
  CHECK(world.step() == IoStatus::ok);
  world.channel->end_writing();
  CHECK(world.read().empty());
  CHECK(SSL_get_shutdown(world.client.get()) == SSL_RECEIVED_SHUTDOWN);
  CHECK(SSL_SESSION_is_resumable(SSL_get_session(world.client.get())) == 1);
}

TEST_CASE("what TLS 1.2 sends at the end of a handshake leaves at once") {
  World world(TLS1_2_VERSION);
  CHECK(world.step() == IoStatus::again);
  CHECK(world.step() == IoStatus::ok);
  CHECK(SSL_do_handshake(world.client.get()) == 1);
}

TEST_CASE("a flight for which the socket has no room is sent when it has") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const bool last = GENERATE(false, true);  // the server's flight: the last or the first
  CAPTURE(version, last);
  World world(version);
  if (last) REQUIRE(world.step() == IoStatus::again);
  REQUIRE(SSL_do_handshake(world.client.get()) == (last && version == TLS1_3_VERSION ? 1 : -1));
  const size_t filled = fill(world.ours.get());
  const IoStatus full = world.channel->handshake().status;
  if (last && version == TLS1_3_VERSION) {
    CHECK(full == IoStatus::ok);
    CHECK(world.answer("answer") == IoStatus::again);
    drain(world.theirs.get(), filled);
    CHECK(world.answer("answer") == IoStatus::ok);
    CHECK(world.read() == "answer");
    return;
  }
  CHECK(full == IoStatus::again);
  CHECK(world.channel->handshake().status == IoStatus::again);
  drain(world.theirs.get(), filled);
  for (int steps = 0; steps < 4; ++steps) world.step();
  CHECK(world.channel->handshake().status == IoStatus::ok);
  CHECK(SSL_do_handshake(world.client.get()) == 1);
}

TEST_CASE("an alert that ends a handshake is sent") {
  World world;
  SSL_set_cipher_list(world.client.get(), "AES128-SHA");  // which nobody should use any more
  SSL_set_max_proto_version(world.client.get(), TLS1_2_VERSION);
  CHECK(world.step() == IoStatus::error);
  CHECK(world.channel->handshake_failure() == Reason::tls_no_cipher);
  CHECK(world.sent() == 7);  // a record's head, and an alert
}
