#include "cli/origin.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <functional>
#include <string>

#include "base/strings.h"

using namespace sluice;
using cli::Origin;
using cli::OriginConnection;
using cli::OriginOrder;
using cli::read_order;
using event::IoStatus;
using event::Loop;
using event::Stream;
using event::Timer;

namespace {
std::string pattern(size_t bytes) {
  const std::string line = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+\n";
  std::string all;
  while (all.size() < bytes) all += line;
  all.resize(bytes);
  return all;
}

// An origin and one client of it on one loop.
class Scene final : private Stream::Handler {
 public:
  Scene() {
    auto started = Origin::start(loop, {.listen = *SocketAddress::parse("127.0.0.1:0")});
    REQUIRE(started.has_value());
    origin = std::move(*started);
    REQUIRE(client.connect(loop, origin->address(), *this).has_value());
    deadline_.set(loop.now() + Seconds(20));
  }
  ~Scene() {
    client.close();
    origin.reset();
  }

  void send(std::string text) {
    to_send_ += text;
    if (connected_) push();
  }
  void run_until(std::function<bool()> done) {
    done_ = std::move(done);
    if (!done_()) loop.run();
    REQUIRE_FALSE(late_);
  }
  void turn() {
    loop.at_turn_end([](void* raw) { static_cast<Loop*>(raw)->stop(); }, &loop);
    loop.run();
  }
  /// For what no byte to the client tells.
  void turn_until(const std::function<bool()>& done) {
    while (!done() && !late_) turn();
    REQUIRE_FALSE(late_);
  }
  /// Sends and returns all that comes until the origin closes.
  std::string ask(const std::string& text) {
    send(text);
    run_until([this] { return closed; });
    return got;
  }
  bool sent_all() const { return connected_ && to_send_.empty(); }
  std::string body() const { return got.substr(got.find("\r\n\r\n") + 4); }
  std::string head() const { return got.substr(0, got.find("\r\n\r\n") + 2); }

  Loop loop;
  std::unique_ptr<Origin> origin;
  Stream client;
  std::string got;
  bool closed = false;

 private:
  void on_readable() override {
    for (;;) {
      const auto result = client.read(loop.read_buffer());
      if (result.status == IoStatus::again) break;
      if (result.status != IoStatus::ok) {
        closed = true;
        client.close();
        break;
      }
      got.append(loop.read_buffer().data(), result.bytes);
    }
    if (done_()) loop.stop();
  }
  void on_writable() override {
    connected_ = true;
    push();
  }
  void on_error() override { FAIL("the client's socket failed"); }
  void push() {
    const auto sent = client.write(to_send_);
    to_send_.erase(0, sent.bytes);
    client.want_write(!to_send_.empty());
  }

  std::string to_send_;
  bool connected_ = false;
  bool late_ = false;
  std::function<bool()> done_ = [] { return false; };
  Timer deadline_{loop.timers(),
                  [](void* raw) {
                    auto& self = *static_cast<Scene*>(raw);
                    self.late_ = true;
                    self.loop.stop();
                  },
                  this};
};

const std::string kClose = " HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n";
const std::string kKeep = " HTTP/1.1\r\nHost: o\r\n\r\n";

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++found;
  return found;
}
}  // namespace

TEST_CASE("the path says what is asked for", "[origin]") {
  struct Row {
    const char* target;
    OriginOrder::Kind kind;
    uint64_t number;
  };
  const Row rows[] = {
      {"/", OriginOrder::Kind::echo, 0},
      {"/bytes/0", OriginOrder::Kind::bytes, 0},
      {"/bytes/4096?x=1", OriginOrder::Kind::bytes, 4096},
      {"/bytes", OriginOrder::Kind::bytes, 7},
      {"/bytes/", OriginOrder::Kind::echo, 0},
      {"/bytes/x", OriginOrder::Kind::echo, 0},
      {"/bytes/-1", OriginOrder::Kind::echo, 0},
      {"/bytes/99999999999999999999", OriginOrder::Kind::echo, 0},
      {"/chunked/10", OriginOrder::Kind::chunked, 10},
      {"/status/204", OriginOrder::Kind::status, 204},
      {"/status/101", OriginOrder::Kind::echo, 0},
      {"/status/600", OriginOrder::Kind::echo, 0},
      {"/delay/50", OriginOrder::Kind::delay, 50},
      {"/delay/60001", OriginOrder::Kind::echo, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.target);
    const OriginOrder order = read_order(row.target, 7);
    CHECK(order.kind == row.kind);
    CHECK(order.number == row.number);
  }
}

TEST_CASE("/bytes answers with so many bytes of the pattern", "[origin]") {
  const size_t bytes = GENERATE(0, 1, 128, 65'536, 65'537, 3'000'001);
  Scene scene;
  scene.ask("GET /bytes/" + std::to_string(bytes) + kClose);
  CHECK(scene.head().starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(count(scene.head(), "Content-Length: " + std::to_string(bytes) + "\r\n") == 1);
  CHECK(count(scene.head(), "Connection: close\r\n") == 1);
  CHECK(count(scene.head(), "\r\nDate: ") == 1);
  CHECK((scene.body() == pattern(bytes)));
}

TEST_CASE("pipelined requests are answered in order on one connection", "[origin]") {
  Scene scene;
  std::string requests;
  std::string sizes[] = {"5", "0", "70000", "128", "128", "1"};
  for (const auto& size : sizes) requests += "GET /bytes/" + size + kKeep;
  requests += "POST /chunked/7" + kClose;
  scene.ask(requests);
  std::string rest = scene.got;
  for (const auto& size : sizes) {
    const size_t end = rest.find("\r\n\r\n") + 4;
    REQUIRE(count(rest.substr(0, end), "Content-Length: " + size + "\r\n") == 1);
    const size_t bytes = *parse_u64(size);
    REQUIRE((rest.substr(end, bytes) == pattern(bytes)));
    rest.erase(0, end + bytes);
  }
  CHECK(rest.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
  CHECK(rest.ends_with("\r\n\r\n7\r\n0123456\r\n0\r\n\r\n"));
}

TEST_CASE("a request that comes byte by byte is understood, and the connection goes on", "[origin]") {
  Scene scene;
  const std::string request = "\r\nPOST /x HTTP/1.1\r\nHost: o\r\nContent-Length: 3\r\n\r\nabc";
  for (const char byte : request) {
    scene.send({byte});
    for (int i = 0; i < 3; ++i) scene.turn();
  }
  scene.run_until([&] { return scene.got.ends_with("\"body_bytes\": 3}\n"); });
  scene.got.clear();
  scene.ask("GET /bytes/1" + kClose);
  CHECK(scene.body() == "0");
}

TEST_CASE("an echo names method, target, version, headers and the length of the body", "[origin]") {
  Scene scene;
  scene.ask(
      "PUT /a?b=%22 HTTP/1.1\r\nHost: o\r\nX-Odd: \"q\" \xff\r\nContent-Length: 4\r\nConnection: "
      "close\r\n\r\nbody");
  CHECK(scene.head().find("Content-Type: application/json\r\n") != std::string::npos);
  CHECK(scene.body() ==
        "{\"method\": \"PUT\", \"target\": \"/a?b=%22\", \"version\": \"HTTP/1.1\", \"headers\": "
        "[\"Host: o\", \"X-Odd: \\\"q\\\" \\ufffd\", \"Content-Length: 4\", \"Connection: close\"], "
        "\"body_bytes\": 4}\n");
}

TEST_CASE("the longest head that is taken fits into an echo, behind answers that wait", "[origin]") {
  Scene scene;
  std::string request = "GET /bytes/30000" + kKeep + "GET /" + std::string(8'000, 'p') + " HTTP/1.1\r\nHost: o\r\n";
  request += "X: " + std::string(24'000, '\xff') + "\r\nConnection: close\r\n\r\n";
  scene.ask(request);
  CHECK(scene.got.ends_with("\"body_bytes\": 0}\n"));
}

TEST_CASE("a chunked request body is read to its end and counted", "[origin]") {
  Scene scene;
  scene.ask(
      "POST / HTTP/1.1\r\nHost: o\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n");
  CHECK(scene.body().ends_with("\"body_bytes\": 21}\n"));
}

TEST_CASE("a large body is drained without being kept", "[origin]") {
  Scene scene;
  scene.ask("POST / HTTP/1.1\r\nHost: o\r\nConnection: close\r\nContent-Length: 5000000\r\n\r\n" +
            std::string(5'000'000, 'b'));
  CHECK(scene.body().ends_with("\"body_bytes\": 5000000}\n"));
}

TEST_CASE("who expects 100 gets it, before the body", "[origin]") {
  Scene scene;
  scene.send(
      "POST /bytes/2 HTTP/1.1\r\nHost: o\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: "
      "close\r\n\r\n");
  scene.run_until([&] { return scene.got == "HTTP/1.1 100 Continue\r\n\r\n"; });
  scene.got.clear();
  scene.ask("ok");
  CHECK(scene.body() == "01");
}

TEST_CASE("a pipelined answer leaves although the next request's body is missing", "[origin]") {
  Scene scene;
  scene.send("GET /bytes/3" + kKeep + "POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 9\r\n\r\nhalf");
  scene.run_until([&] { return scene.got.ends_with("\r\n\r\n012"); });
  SUCCEED("it came");
}

TEST_CASE("/status answers with that status, without a body where none may be", "[origin]") {
  const int status = GENERATE(200, 204, 304, 404, 503, 299);
  Scene scene;
  scene.ask("GET /status/" + std::to_string(status) + kClose);
  CHECK(scene.got.starts_with("HTTP/1.1 " + std::to_string(status) + ' '));
  CHECK(scene.body().empty() == (status == 204 || status == 304));
  CHECK((scene.head().find("Content-Length") == std::string::npos) == scene.body().empty());
}

TEST_CASE("HEAD is answered with the head alone", "[origin]") {
  const auto path = GENERATE("/bytes/128", "/bytes/900000", "/chunked/5", "/", "/status/200");
  Scene scene;
  scene.ask("HEAD " + std::string(path) + kKeep + "GET /bytes/1" + kClose);
  CHECK(count(scene.got, "HTTP/1.1 200 OK") == 2);
  CHECK(scene.body().starts_with("HTTP/1.1 200 OK"));
}

TEST_CASE("/delay answers later, and in order", "[origin]") {
  Scene scene;
  const MonoTime start = scene.loop.now();
  scene.ask("GET /bytes/1" + kKeep + "GET /delay/30" + kKeep + "GET /bytes/2" + kClose);
  CHECK(MonoClock::now() - start >= Millis(30));
  CHECK(scene.got.find("/delay/30") != std::string::npos);
  CHECK(scene.got.ends_with("\r\n\r\n01"));
}

TEST_CASE("a client that sent its end still gets its answers", "[origin]") {
  Scene scene;
  scene.send("GET /delay/20" + kKeep + "GET /bytes/4" + kKeep);
  scene.turn_until([&] { return scene.sent_all(); });
  scene.client.shutdown_write();
  scene.run_until([&] { return scene.closed; });
  CHECK(count(scene.got, "HTTP/1.1 200 OK") == 2);
}

TEST_CASE("HTTP/1.0 clients get a body that ends with the connection, or keep-alive if they ask", "[origin]") {
  SECTION("chunks are not for them") {
    Scene scene;
    scene.ask("GET /chunked/9 HTTP/1.0\r\n\r\n");
    CHECK(scene.head().find("chunked") == std::string::npos);
    CHECK(scene.body() == "012345678");
  }
  SECTION("keep-alive is said") {
    Scene scene;
    scene.ask("GET /bytes/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /bytes/2 HTTP/1.0\r\n\r\n");
    CHECK(count(scene.got, "Connection: keep-alive\r\n") == 1);
    CHECK(count(scene.got, "Connection: close\r\n") == 1);
  }
}

TEST_CASE("what is not HTTP is refused with a reason, behind the answers that are due", "[origin]") {
  Scene scene;
  scene.ask("GET /bytes/1" + kKeep + "GET / HTTP/1.1\nHost: o\r\n\r\n" + std::string(100'000, 'x'));
  CHECK(scene.got.starts_with("HTTP/1.1 200 OK"));
  CHECK(count(scene.got, "HTTP/1.1 400 ") == 1);
  CHECK(scene.got.ends_with(".\n"));
}

TEST_CASE("a connection that ends, in whatever state, leaves nothing behind", "[origin]") {
  const auto request = GENERATE(
      as<std::string>(), "", "GET /", "POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 9\r\n\r\nx",
      "GET /bytes/900000000" + kKeep, "GET /chunked/900000000" + kKeep, "GET /delay/60000" + kKeep, "nonsense\r\n\r\n");
  Scene scene;
  scene.send(request);
  scene.turn_until([&] { return scene.sent_all() && scene.origin->connections() == 1; });
  for (int i = 0; i < 3; ++i) scene.turn();
  scene.client.close_with_reset();
  scene.turn_until([&] { return scene.origin->connections() == 0; });
  SUCCEED("it went");
}
