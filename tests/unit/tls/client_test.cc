// A Stream that speaks TLS as a client, against OpenSSL's server: who is believed, and what passes.
#include <array>
#include <catch2/catch.hpp>
#include <memory>

#include "../loop_driver.h"
#include "server.h"
#include "tls/client_context.h"

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::test;
using event::IoResult;
using event::IoStatus;
using event::Stream;

namespace {

const int64_t kNow = wall_now().count() / 1'000'000;

struct Names {
  Identity authority = make_authority("the tests' authority");
  Identity server = make_identity(
      "server", {.alternative_names = "DNS:redis.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1", .signer = &authority});
  Identity client = make_identity("client", {.signer = &authority});
};
const Names& names() {
  static const Names made;
  return made;
}

std::shared_ptr<const ClientContext> context_for(const ClientContext::Options& options) {
  ClientContext::Failure failure;
  auto made = ClientContext::make(options, failure);
  CAPTURE(failure.why);
  REQUIRE(made != nullptr);
  return made;
}
ClientContext::Options trusting(const Identity& authority) { return {.ca_pem = authority.certificate_pem()}; }

/// A client's stream, and the server at the other end. Everything that comes is read into `got`.
struct World : Stream::Handler {
  explicit World(const Identity& identity = names().server) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    const int small = 4096;  // so that both sides run out of room
    for (const int fd : ends) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    server = std::make_unique<Server>(ends[1], identity);
    REQUIRE(stream.open(loop, ends[0], *this));
  }
  virtual ~World() = default;

  void begin(const std::string& name = "redis.test",
             const ClientContext::Options& options = trusting(names().authority), ClientSessions* sessions = nullptr) {
    stream.secure(context_for(options)->connect(stream.fd(), name, sessions));  // and the context is gone
  }
  /// True if the handshake succeeded.
  bool settle() {
    REQUIRE(until([this] { return established || errors > 0; }));
    return established;
  }
  bool until(const std::function<bool()>& condition) {
    return driver.until([&] {
      server->pump();
      return condition();
    });
  }
  [[nodiscard]] std::string detail() const { return stream.outcome() ? "" : stream.outcome().error().detail; }

  void on_readable() override {
    const std::span<char> buffer = loop.read_buffer().first(read_bytes);
    const IoResult result = stream.read(buffer);
    ++reads;
    if (result.status == IoStatus::ok) got.append(buffer.data(), result.bytes);
    if (result.status == IoStatus::ok || result.status == IoStatus::again) return;
    end = result.status;
    stream.want_read(false);
  }
  void on_writable() override {
    if (!std::exchange(established, true)) {
      CHECK(stream.outcome().has_value());
      stream.want_write(false);
    }
    if (then_writable) then_writable();
  }
  void on_error() override { ++errors; }

  event::Loop loop;
  sluice::test::Driver driver{loop};
  std::unique_ptr<Server> server;
  Stream stream;
  std::function<void()> then_writable;
  size_t read_bytes = event::Loop::kReadBufferBytes;
  std::string got;
  int reads = 0;
  bool established = false;
  int errors = 0;
  IoStatus end = IoStatus::ok;
};

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

}  // namespace

TEST_CASE("a server whose certificate we trust: bytes go both ways", "[tls]") {
  World world;
  world.begin(GENERATE("redis.test", "a.wild.test", "127.0.0.1", "::1"));
  REQUIRE(world.settle());
  CHECK(world.stream.write("hello").bytes == 5);
  world.server->to_send = "world";
  REQUIRE(world.until([&] { return world.server->got == "hello" && world.got == "world"; }));
}

TEST_CASE("a server that we do not trust is refused, and told", "[tls]") {
  const auto refused = [](World& world, const std::string& name, const std::string& detail,
                          const ClientContext::Options& options = trusting(names().authority)) {
    world.begin(name, options);
    CHECK_FALSE(world.settle());
    CHECK(world.stream.outcome().error().reason == Reason::tls_handshake_failed);
    CHECK(world.detail() == detail);
    REQUIRE(world.until([&] { return world.server->ended; }));
    CHECK_FALSE(world.server->error.empty());
    CHECK(world.server->got.empty());
  };
  SECTION("another name") {
    World world;
    refused(world, "other.test", "hostname mismatch");
  }
  SECTION("another address") {
    World world;
    refused(world, "127.0.0.2", "IP address mismatch");
  }
  SECTION("another authority") {
    World world;
    refused(world, "redis.test", "unable to get local issuer certificate", trusting(make_authority("somebody else")));
  }
  SECTION("the system's authorities") {
    World world;
    refused(world, "redis.test", "unable to get local issuer certificate", {});
  }
  SECTION("signed by itself") {
    const Identity lonely = make_identity("server", {.alternative_names = "DNS:redis.test"});
    World world(lonely);
    refused(world, "redis.test", "self-signed certificate");
  }
  SECTION("expired") {
    const Identity old = make_identity(
        "server", {.alternative_names = "DNS:redis.test", .valid_for_seconds = -60, .signer = &names().authority});
    World world(old);
    refused(world, "redis.test", "certificate has expired");
  }
}

TEST_CASE("a certificate that is trusted itself needs no authority", "[tls]") {
  World world;
  world.begin("redis.test", trusting(names().server));
  CHECK(world.settle());
}

TEST_CASE("without verification any certificate will do", "[tls]") {
  const Identity lonely = make_identity("server");
  World world(lonely);
  world.begin("redis.test", {.verify = false});
  CHECK(world.settle());
}

TEST_CASE("host names are sent as SNI, addresses are not", "[tls]") {
  World world;
  const bool named = GENERATE(true, false);
  world.begin(named ? "redis.test" : "127.0.0.1");
  REQUIRE(world.settle());
  const char* sent = SSL_get_servername(world.server->ssl(), TLSEXT_NAMETYPE_host_name);
  CHECK((sent != nullptr ? std::string(sent) : "") == (named ? "redis.test" : ""));
}

TEST_CASE("TLS 1.2 is spoken, what came before it is not", "[tls]") {
  World world;
  const bool old = GENERATE(false, true);
  SSL_CTX_set_security_level(world.server->context(), 0);
  SSL_CTX_set_min_proto_version(world.server->context(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(world.server->context(), old ? TLS1_1_VERSION : TLS1_2_VERSION);
  world.begin();
  CHECK(world.settle() == !old);
  if (old) CHECK(world.detail() == "tlsv1 alert protocol version");
}

TEST_CASE("a server that asks who we are is told, and says so if it is not content", "[tls]") {
  World world;
  SSL_CTX_set_verify(world.server->context(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(world.server->context()), names().authority.certificate.get());
  ClientContext::Options options = trusting(names().authority);
  SECTION("with a certificate") {
    options.certificate_pem = names().client.certificate_pem();
    options.key_pem = names().client.key_pem();
    world.begin("redis.test", options);
    REQUIRE(world.settle());
    REQUIRE(world.until([&] { return world.server->established; }));
    const CertificatePtr shown(SSL_get1_peer_certificate(world.server->ssl()));
    REQUIRE(shown != nullptr);
    CHECK(X509_cmp(shown.get(), names().client.certificate.get()) == 0);
  }
  SECTION("without: in TLS 1.3 the answer comes when our side is done already") {
    world.begin("redis.test", options);
    REQUIRE(world.settle());
    REQUIRE(world.until([&] { return world.end != IoStatus::ok; }));
    CHECK(world.end == IoStatus::error);
    CHECK(world.stream.failure() == "tlsv13 alert certificate required");
  }
}

TEST_CASE("a peer that does not speak TLS is found out", "[tls]") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd peer(ends[1]);
  World world;
  world.stream.close();
  REQUIRE(world.stream.open(world.loop, ends[0], world));
  world.begin();
  SECTION("by what it says") {
    REQUIRE(::send(peer.get(), "-ERR Protocol error\r\n", 21, MSG_NOSIGNAL) == 21);
    REQUIRE(world.driver.until([&] { return world.errors > 0; }));
    CHECK(world.detail() == "wrong version number");
  }
  SECTION("by its end") {
    REQUIRE(::shutdown(peer.get(), SHUT_RDWR) == 0);
    REQUIRE(world.driver.until([&] { return world.errors > 0; }));
    CHECK_FALSE(world.detail().empty());
  }
}

TEST_CASE("a record that is read a byte at a time comes without another word from the socket", "[tls]") {
  World world;
  world.begin();
  REQUIRE(world.settle());
  world.read_bytes = 1;
  world.server->to_send = "0123456789";
  REQUIRE(world.until([&] { return world.got == "0123456789"; }));
}

TEST_CASE("a read takes all records that are there", "[tls]") {
  World world;
  world.begin();
  REQUIRE(world.settle());
  world.stream.want_read(false);
  for (const char* piece : {"one ", "two ", "three"}) {
    world.server->to_send = piece;
    world.server->pump();
  }
  world.reads = 0;
  world.stream.want_read(true);
  REQUIRE(world.until([&] { return !world.got.empty(); }));
  CHECK(world.got == "one two three");
  CHECK(world.reads == 1);
}

TEST_CASE("small pieces leave in one record, large ones in records of the largest size", "[tls]") {
  World world;
  world.begin();
  REQUIRE(world.settle());
  REQUIRE(world.until([&] { return world.server->established; }));
  world.server->records = 0;
  std::string a = "GET ", b, c = "/path", d = pattern(1000);
  const std::array<iovec, 4> pieces = {iovec{a.data(), a.size()}, iovec{b.data(), 0}, iovec{c.data(), c.size()},
                                       iovec{d.data(), d.size()}};
  CHECK(world.stream.write(pieces).bytes == 1009);
  REQUIRE(world.until([&] { return world.server->got.size() == 1009; }));
  CHECK(world.server->got == "GET /path" + d);
  CHECK(world.server->records == 1);
  CHECK(world.stream.write(std::span<const iovec>()).bytes == 0);
}

TEST_CASE("much more than the sockets hold passes both ways at once, however it is offered", "[tls]") {
  World world;
  const bool old = GENERATE(false, true);
  if (old) SSL_CTX_set_max_proto_version(world.server->context(), TLS1_2_VERSION);
  world.begin();
  REQUIRE(world.settle());
  const std::string out = pattern(600'000), in = pattern(500'000);
  world.server->to_send = in;
  world.read_bytes = 3000;
  std::array<std::string, 2> copies;
  size_t sent = 0;
  int calls = 0, refusals = 0;
  world.then_writable = [&] {
    // Pieces of all sizes or one, and never from the same place as before.
    std::string& moved = copies[static_cast<size_t>(calls) % 2];
    moved = out.substr(sent, 70'000);
    std::vector<iovec> pieces;
    size_t size = ++calls % 3 == 0 ? moved.size() : 1 + static_cast<size_t>(calls) % 7;
    for (size_t at = 0; at < moved.size(); at += size, size = size * 5 % 30'011) {
      size = std::min(size, moved.size() - at);
      pieces.push_back({moved.data() + at, size});
    }
    const IoResult result = world.stream.write(pieces);
    REQUIRE(result.status != IoStatus::error);
    if (result.status == IoStatus::again) ++refusals;
    sent += result.bytes;
    if (sent == out.size()) world.stream.want_write(false);
  };
  world.stream.want_write(true);
  int turns = 0;
  REQUIRE(world.driver.until([&] {
    world.server->pump(10'000);
    // The server asks for new keys, which we must answer with bytes of our own.
    if (!old && ++turns % 5 == 0) SSL_key_update(world.server->ssl(), SSL_KEY_UPDATE_REQUESTED);
    return world.server->got.size() == out.size() && world.got.size() == in.size();
  }));
  CHECK(world.server->got == out);
  CHECK(world.got == in);
  CHECK(refusals > 0);
}

TEST_CASE("an end with a close_notify is the end, one without is an error", "[tls]") {
  World world;
  world.begin();
  REQUIRE(world.settle());
  const bool politely = GENERATE(true, false);
  const bool closes = !politely || GENERATE(true, false);
  world.server->to_send = "last words";
  world.stream.want_read(false);
  world.server->pump();
  closes ? world.server->close(politely) : (void)SSL_shutdown(world.server->ssl());
  world.stream.want_read(true);
  REQUIRE(world.until([&] { return world.end != IoStatus::ok; }));
  CHECK(world.got == "last words");
  CHECK(world.end == (politely ? IoStatus::eof : IoStatus::error));
  CHECK(world.stream.failure().empty() == politely);
}

TEST_CASE("our own end is a close_notify, but for a reset", "[tls]") {
  World world;
  world.begin();
  REQUIRE(world.settle());
  const bool politely = GENERATE(true, false);
  CHECK(world.stream.write("last words").bytes == 10);
  politely ? world.stream.close() : world.stream.close_with_reset();
  REQUIRE(world.until([&] { return world.server->ended; }));
  CHECK(world.server->got == "last words");
  CHECK(world.server->error.empty() == politely);
}

TEST_CASE("the protocol that we offer is heard by the server", "[tls]") {
  World world;
  const auto choose = [](SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                         unsigned bytes, void*) {
    if (bytes != 9 || std::string(reinterpret_cast<const char*>(offered), bytes) != "\x08http/1.1")
      return SSL_TLSEXT_ERR_NOACK;
    *chosen = offered + 1;
    *size = 8;
    return SSL_TLSEXT_ERR_OK;
  };
  SSL_CTX_set_alpn_select_cb(world.server->context(), choose, nullptr);
  ClientContext::Options options = trusting(names().authority);
  options.alpn = {"http/1.1"};
  world.begin("redis.test", options);
  REQUIRE(world.settle());
  const unsigned char* agreed = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(world.server->ssl(), &agreed, &size);
  CHECK(std::string(reinterpret_cast<const char*>(agreed), size) == "http/1.1");
}

namespace {
/// One connection to a server whose ticket keys are those of all; true if it took up an earlier session.
bool resumes(ClientSessions* sessions, int version) {
  World world;
  std::array<unsigned char, 80> keys{};
  SSL_CTX_set_tlsext_ticket_keys(world.server->context(), keys.data(), keys.size());
  SSL_CTX_set_max_proto_version(world.server->context(), version);
  world.server->to_send = "a word behind the tickets";
  world.begin("redis.test", trusting(names().authority), sessions);
  REQUIRE(world.settle());
  REQUIRE(world.until([&] { return world.got == "a word behind the tickets"; }));
  world.stream.close();
  return SSL_session_reused(world.server->ssl()) == 1;
}
}  // namespace

TEST_CASE("a session is taken up again, of TLS 1.3 once", "[tls]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  CAPTURE(version);
  ClientSessions sessions;
  CHECK_FALSE(resumes(&sessions, version));
  const size_t offered = sessions.size();
  CHECK(offered == (version == TLS1_3_VERSION ? 2 : 1));  // OpenSSL's servers send two tickets
  CHECK(resumes(&sessions, version));
  CHECK(sessions.size() == offered);  // one was used, one is new; or none
  const SessionPtr taken = sessions.take(kNow);
  CHECK(sessions.size() == 1);
  sessions.clear();
  CHECK_FALSE(resumes(&sessions, version));
  CHECK_FALSE(resumes(nullptr, version));
}

TEST_CASE("a session that the server cannot take up costs a whole handshake", "[tls]") {
  ClientSessions sessions;
  resumes(&sessions, TLS1_3_VERSION);
  World world;  // whose server has other keys
  world.begin("redis.test", trusting(names().authority), &sessions);
  REQUIRE(world.settle());
  CHECK_FALSE(world.stream.transport()->resumed());
}

TEST_CASE("only the newest sessions are kept", "[tls]") {
  const auto session = [](unsigned char id) {
    SessionPtr made(SSL_SESSION_new());
    SSL_SESSION_set_protocol_version(made.get(), TLS1_3_VERSION);
    if (id != 0) SSL_SESSION_set1_id(made.get(), &id, 1);
    return made;
  };
  ClientSessions sessions;
  CHECK(sessions.take(kNow) == nullptr);
  sessions.put(*session(0), true, kNow);  // cannot be taken up again
  CHECK(sessions.size() == 0);
  for (unsigned char id = 1; id <= ClientSessions::kMost + 2; ++id) sessions.put(*session(id), true, kNow);
  CHECK(sessions.size() == ClientSessions::kMost);
  for (unsigned char id = ClientSessions::kMost + 2; id > 2; --id) {
    const SessionPtr taken = sessions.take(kNow);
    REQUIRE(taken != nullptr);
    unsigned length = 0;
    CHECK(*SSL_SESSION_get_id(taken.get(), &length) == id);
  }
  CHECK(sessions.take(kNow) == nullptr);
}

TEST_CASE("a server that says why it does not want us is told from one that is gone", "[tls]") {
  World world;
  const bool says = GENERATE(true, false);
  if (says) SSL_CTX_set_verify(world.server->context(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  world.begin();
  REQUIRE(world.settle());
  if (!says) world.server->close(false);
  REQUIRE(world.until([&] { return world.end != IoStatus::ok; }));
  CHECK(world.stream.transport()->was_refused() == says);
}

TEST_CASE("the common name of a certificate without alternative names is none that counts") {
  const Identity named = make_identity("redis.test", {.signer = &names().authority});
  World world(named);
  world.begin("redis.test");
  CHECK_FALSE(world.settle());
  CHECK(world.detail() == "hostname mismatch");
}

TEST_CASE("the dot at the end of a name for DNS is none of the name") {
  World world;
  world.begin("redis.test.");
  CHECK(world.settle());
}

TEST_CASE("sessions are taken up until a day after the server was verified, however often they were renewed") {
  constexpr int64_t kBegan = 1'700'000'000;
  ClientSessions sessions;
  const auto offer = [&](bool verified, int64_t now) {
    const SessionPtr session(SSL_SESSION_new());
    const unsigned char id[] = {1, 2, 3};
    SSL_SESSION_set1_id(session.get(), id, sizeof id);
    SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION);
    sessions.put(*session, verified, now);
  };
  CHECK(sessions.take(kBegan) == nullptr);
  offer(true, kBegan);
  offer(false, kBegan + 3600);
  CHECK(sessions.take(kBegan + 7200) != nullptr);
  CHECK(sessions.take(kBegan + ClientSessions::kLongestSeconds - 1) != nullptr);
  offer(false, kBegan + ClientSessions::kLongestSeconds - 1);
  offer(false, kBegan + ClientSessions::kLongestSeconds - 1);
  CHECK(sessions.take(kBegan + ClientSessions::kLongestSeconds) == nullptr);
  CHECK(sessions.size() == 0);
  offer(true, kBegan + ClientSessions::kLongestSeconds);
  CHECK(sessions.take(kBegan + ClientSessions::kLongestSeconds) != nullptr);
}
