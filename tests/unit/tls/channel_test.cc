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

std::shared_ptr<const ServerContext> make_context(bool early_data = false) {
  static const Identity made = make_identity("server", {.alternative_names = "DNS:a.test"});
  Failure failure;
  const auto certificate = Certificate::make(
      {.certificate_pem = made.certificate_pem(), .key_pem = made.key_pem(), .ocsp_der = {}}, failure);
  auto context = ServerContext::make(
      {.certificates = {certificate}, .tickets = TicketKeys::own(), .early_data = early_data}, failure);
  REQUIRE(context != nullptr);
  return context;
}

/// A server's channel, and OpenSSL's client at the other end.
struct World {
  explicit World(int version = TLS1_3_VERSION, std::shared_ptr<const ServerContext> server = make_context())
      : context(std::move(server)) {
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

  std::shared_ptr<const ServerContext> context;
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

/// A client that comes back to a server that lets it send early data, and does so at once.
struct Early : World {
  explicit Early(std::string_view data, bool allowed = true) : World(TLS1_3_VERSION, make_context(allowed)) {
    World before(TLS1_3_VERSION, make_context(true));
    REQUIRE(before.step() == IoStatus::again);
    REQUIRE(before.step() == IoStatus::ok);
    REQUIRE(before.answer("answer") == IoStatus::ok);
    REQUIRE(before.read() == "answer");
    const std::unique_ptr<SSL_SESSION, FreeBy<SSL_SESSION_free>> session(SSL_get1_session(before.client.get()));
    REQUIRE(SSL_SESSION_get_max_early_data(session.get()) == ServerContext::kEarlyBytes);
    REQUIRE(SSL_set_session(client.get(), session.get()) == 1);
    send_early(data);
  }
  void send_early(std::string_view data) {
    size_t sent = 0;
    REQUIRE(SSL_write_early_data(client.get(), data.data(), data.size(), &sent) == 1);
  }
  void send(std::string_view data) {
    REQUIRE(SSL_write(client.get(), data.data(), static_cast<int>(data.size())) == static_cast<int>(data.size()));
  }
  /// What the channel reads at once; "-" if there is nothing.
  std::string receive() {
    std::string got(32 * 1024, '\0');
    const IoResult result = channel->read(got);
    if (result.status != IoStatus::ok) return "-";
    got.resize(result.bytes);
    return got;
  }
};

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

TEST_CASE("early data is read and answered before the client has said its last word") {
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.channel->early_data_status() == SSL_EARLY_DATA_ACCEPTED);
  CHECK(world.channel->resumed());
  CHECK(world.receive() == "early");
  CHECK(world.channel->is_early());
  CHECK(world.answer("answer") == IoStatus::ok);
  world.send_early("and more");  // by itself: what follows comes with the end of the handshake
  CHECK(world.receive() == "and more");
  CHECK(world.answer(", the second") == IoStatus::ok);
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);
  CHECK(world.read() == "answer");
  CHECK(world.read() == ", the second");
  CHECK(world.receive() == "-");
  CHECK_FALSE(world.channel->is_early());
  world.send("late");
  CHECK(world.receive() == "late");
  CHECK(world.answer("answer") == IoStatus::ok);
  CHECK(world.read() == "answer");
}

TEST_CASE("a read brings either early data or what came behind it") {
  const bool more = GENERATE(true, false);
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);
  if (more) world.send("late");
  CHECK(world.receive() == "early");
  CHECK(world.channel->is_early());
  CHECK(world.channel->has_pending());
  CHECK(world.receive() == (more ? "late" : "-"));
  CHECK_FALSE(world.channel->is_early());
}

TEST_CASE("of early data that comes in halves the second is waited for") {
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.receive() == "early");
  BIO* const written = BIO_new(BIO_s_mem());
  SSL_set0_wbio(world.client.get(), written);
  world.send_early("halves");
  char* record = nullptr;
  const auto bytes = static_cast<size_t>(BIO_get_mem_data(written, &record));
  REQUIRE(::send(world.theirs.get(), record, bytes / 2, 0) == static_cast<ssize_t>(bytes / 2));
  CHECK(world.receive() == "-");
  CHECK_FALSE(world.channel->has_pending());  // or the loop would ask again and again
  REQUIRE(::send(world.theirs.get(), record + bytes / 2, bytes - bytes / 2, 0) > 0);
  CHECK(world.receive() == "halves");
}

TEST_CASE("a flight for which the socket has no room is sent when it has, and then early data is read") {
  Early world("early");
  const size_t filled = fill(world.ours.get());
  CHECK(world.channel->handshake().status == IoStatus::again);
  CHECK(world.channel->handshake().status == IoStatus::again);
  drain(world.theirs.get(), filled);
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.receive() == "early");
}

TEST_CASE("who sends early data gets new tickets, be the answer out already or not") {
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.receive() == "early");
  CHECK(world.answer("answer") == IoStatus::ok);
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);
  CHECK(world.read() == "answer");
  CHECK(SSL_SESSION_has_ticket(SSL_get_session(world.client.get())) == 1);
  const SSL_SESSION* const used = SSL_get_session(world.client.get());
  CHECK(world.receive() == "-");
  CHECK(world.sent() > 0);
  CHECK(world.read().empty());
  CHECK(SSL_get_session(world.client.get()) != used);
}

TEST_CASE("the handshake ends though the client does not read the answer to its early data") {
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.receive() == "early");
  std::string text(1024 * 1024, 0);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i / 1024);
  size_t sent = 0;
  const auto send_more = [&] {
    const iovec pieces[] = {
        {text.data() + sent, std::min<size_t>(100, text.size() - sent)},
        {text.data() + std::min(sent + 100, text.size()), text.size() - std::min(sent + 100, text.size())}};
    const IoResult result = world.channel->write(pieces);
    sent += result.bytes;
    return result.status;
  };
  while (send_more() == IoStatus::ok) REQUIRE(sent < text.size());
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);  // of what it gets it reads just that
  CHECK(world.receive() == "-");
  CHECK_FALSE(world.channel->is_early());
  std::string got;
  while (got.size() < text.size()) {
    const std::string piece = world.read();
    if (piece.empty()) REQUIRE(send_more() == IoStatus::ok);
    got += piece;
  }
  CHECK(got == text);
  world.send("late");
  CHECK(world.receive() == "late");
}

TEST_CASE("early data that is not allowed is skipped, as long as it is") {
  Early world(std::string(32, 'e'), false);
  for (size_t sent = 32; sent < ServerContext::kEarlyBytes; sent += 32) {
    world.send_early(std::string(32, 'e'));
    REQUIRE(world.channel->handshake().status == IoStatus::again);
  }
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);
  CHECK(SSL_get_early_data_status(world.client.get()) == SSL_EARLY_DATA_REJECTED);
  CHECK(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.channel->early_data_status() == SSL_EARLY_DATA_REJECTED);
  CHECK_FALSE(world.channel->is_early());
  world.send("again");
  CHECK(world.receive() == "again");
}

TEST_CASE("a handshake that early data began may fail") {
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.receive() == "early");
  SECTION("the client went away") {
    world.theirs.reset();
    CHECK(world.receive() == "-");
    CHECK(world.channel->handshake_failure() == Reason::tls_closed);
  }
  SECTION("what comes then is not of this connection") {
    const std::string record = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
    REQUIRE(::send(world.theirs.get(), record.data(), record.size(), 0) == static_cast<ssize_t>(record.size()));
    const int before = world.sent();
    CHECK(world.receive() == "-");
    CHECK(world.channel->handshake_failure() == Reason::tls_failed);
    CHECK(world.sent() > before);  // an alert
  }
  CHECK(world.receive() == "-");
  CHECK(world.answer("answer") == IoStatus::error);
}

TEST_CASE("who ends while early data may come takes leave") {
  Early world("early");
  REQUIRE(world.channel->handshake().status == IoStatus::ok);
  CHECK(world.receive() == "early");
  CHECK(world.answer("answer") == IoStatus::ok);
  world.channel->end_writing();
  REQUIRE(SSL_do_handshake(world.client.get()) == 1);
  CHECK(world.read() == "answer");
  CHECK(world.read().empty());
  CHECK(SSL_get_shutdown(world.client.get()) == SSL_RECEIVED_SHUTDOWN);
}

TEST_CASE("a client that may send early data need not") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  World world(version, make_context(true));
  CHECK(world.step() == IoStatus::again);
  CHECK(world.step() == IoStatus::ok);
  CHECK_FALSE(world.channel->is_early());
  CHECK(world.channel->early_data_status() == SSL_EARLY_DATA_NOT_SENT);
}
