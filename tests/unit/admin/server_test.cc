// The admin server over real sockets: its loop in a thread of its own, blocking clients here.
#include "admin/server.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <future>
#include <thread>

#include "base/strings.h"
#include "fixture.h"
#include "stats/prometheus.h"

namespace sluice::admin {
namespace {

class Client {
 public:
  explicit Client(const SocketAddress& address, int receive_buffer = 0) {
    fd_ = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval deadline{10, 0};  // a hung test ends
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    REQUIRE(::connect(fd_, address.get(), address.length()) == 0);
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;

  void send(std::string_view bytes) {
    REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void end_input() { ::shutdown(fd_, SHUT_WR); }

  struct Answer {
    std::string head;
    std::string body;
    [[nodiscard]] std::string status() const { return head.substr(9, 3); }
  };
  /// One answer, as its Content-Length says.
  Answer read_answer(bool has_body = true) {
    size_t end = 0;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) REQUIRE(receive());
    Answer answer{received_.substr(0, end + 4), {}};
    const size_t at = answer.head.find("Content-Length: ") + 16;
    const size_t length = has_body ? std::stoul(answer.head.substr(at)) : 0;
    received_.erase(0, end + 4);
    while (received_.size() < length) REQUIRE(receive());
    answer.body = received_.substr(0, length);
    received_.erase(0, length);
    return answer;
  }
  Answer get(std::string_view path, std::string_view more = {}) {
    send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more) + "\r\n");
    return read_answer();
  }
  /// All that still comes.
  const std::string& read_to_end() {
    while (receive()) continue;
    return received_;
  }
  /// True if the server sent its FIN and nothing before it.
  bool at_end() { return received_.empty() && !receive() && received_.empty(); }

 private:
  bool receive() {
    char bytes[16384];
    const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
    REQUIRE(got >= 0);
    received_.append(bytes, static_cast<size_t>(got));
    return got > 0;
  }

  int fd_;
  std::string received_;
};

struct Running {
  explicit Running(const char* address = "127.0.0.1:0", std::string token = {}) {
    snapshot::AdminSpec spec;
    spec.address = *SocketAddress::parse(address);
    spec.token = std::move(token);
    auto started = Server::start(loop, spec, gateway.sources());
    REQUIRE(started);
    server = std::move(*started);
    where = server->address();
    thread = std::thread([this] { loop.run(); });
  }
  ~Running() {
    loop.post([this] { server.reset(); });
    loop.stop();
    thread.join();
  }

  /// As the loop's thread sees it.
  size_t connections() {
    size_t count = 0;
    in_loop([&] { count = server->connections(); });
    return count;
  }
  /// Waits until the loop has seen all that clients did before: accepting and reading are turns of their own.
  void settle() {
    for (int turn = 0; turn < 3; ++turn) in_loop([] {});
  }
  /// Timers fire as if it were `after` from now.
  void fast_forward(Millis after) {
    settle();
    in_loop([&] { loop.timers().advance(loop.now() + after); });
  }

  test::Gateway gateway;
  event::Loop loop;
  std::unique_ptr<Server> server;
  SocketAddress where;
  std::thread thread;

 private:
  void in_loop(const std::function<void()>& what) {
    std::promise<void> done;
    loop.post([&] {
      what();
      done.set_value();
    });
    done.get_future().get();
  }
};

TEST_CASE("a connection is kept alive from one request to the next") {
  Running running;
  Client client(running.where);
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.get("/healthz");
    CHECK(answer.status() == "200");
    CHECK(answer.body == "ok\n");
    CHECK(answer.head.find("Connection: close") == std::string::npos);
  }
}

TEST_CASE("Connection: close and HTTP/1.0 end the connection after the answer") {
  Running running;
  Client client(running.where);
  const auto answer = client.get("/healthz", "Connection: close\r\n");
  CHECK(answer.head.find("Connection: close\r\n") != std::string::npos);
  CHECK(client.at_end());

  Client old(running.where);
  old.send("GET /healthz HTTP/1.0\r\n\r\n");
  CHECK(old.read_answer().status() == "200");
  CHECK(old.at_end());
}

TEST_CASE("pipelined requests are answered in order") {
  Running running;
  Client client(running.where);
  std::string requests;
  for (int i = 0; i < 100; ++i) {
    requests += i % 2 == 0 ? "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                           : "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  }
  client.send(requests);
  for (int i = 0; i < 100; ++i) CHECK(client.read_answer().body == (i % 2 == 0 ? "ok\n" : "ready\n"));
}

TEST_CASE("a head that comes byte by byte is understood") {
  Running running;
  Client client(running.where);
  for (const char c : std::string("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")) client.send({&c, 1});
  CHECK(client.read_answer().status() == "200");
}

TEST_CASE("a client that has sent its FIN is still answered") {
  Running running;
  Client client(running.where);
  client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.end_input();
  CHECK(client.read_answer().status() == "200");
  CHECK(client.at_end());
}

TEST_CASE("HEAD gets the head of GET and no body") {
  Running running;
  Client client(running.where);
  client.send("HEAD /config HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto head = client.read_answer(false).head;
  const auto get = client.get("/config");
  CHECK(head == get.head);
  CHECK_FALSE(get.body.empty());
}

TEST_CASE("an empty POST is heard, a body is refused") {
  Running running;
  Client client(running.where);
  client.send("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  const auto answer = client.read_answer();
  CHECK(answer.status() == "405");
  CHECK(answer.head.find("Allow: GET, HEAD\r\n") != std::string::npos);
  client.send("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
  CHECK(client.read_answer().status() == "413");
  CHECK(client.at_end());
}

TEST_CASE("a head that is not HTTP/1.1 gets an answer with its reason, and the connection ends") {
  struct {
    std::string request;
    const char* status;
    const char* reason;
  } const rows[] = {
      {"GET / HTTP/1.1\nHost: localhost\r\n\r\n", "400", "bad_line_end"},
      {"GET / HTTP/1.1\r\n\r\n", "400", "bad_host"},
      {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "400", "bad_host"},
      {"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", "505", "bad_version"},
      {"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", "501", "bad_method"},
      {"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", "400", "bad_header"},
      {"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + std::string(8192, 'a') + "\r\n\r\n", "431", "header_too_large"},
  };
  Running running;
  for (const auto& row : rows) {
    INFO(row.request.substr(0, 60));
    Client client(running.where);
    client.send(row.request);
    const auto answer = client.read_answer();
    CHECK(answer.status() == row.status);
    CHECK(answer.body.find("\"reason\":\"" + std::string(row.reason) + "\"") != std::string::npos);
    CHECK(client.at_end());
  }
}

void make_page_large(stats::Registry& registry) {
  for (int i = 0; i < 2000; ++i) {
    registry.control().observe(registry.intern(stats::Family::request_duration, {"route-" + std::to_string(i)}), 100);
  }
}

TEST_CASE("a page of megabytes reaches a reader with a small window whole") {
  Running running;
  make_page_large(running.gateway.registry);
  const std::string page = stats::prometheus_text(running.gateway.registry);
  REQUIRE(page.size() > 2 << 20);
  Client client(running.where, 4096);
  CHECK(client.get("/metrics").body == page);
  CHECK(client.get("/metrics").body == page);
}

TEST_CASE("a client that goes away in the middle of a page does no harm") {
  Running running;
  make_page_large(running.gateway.registry);
  for (int i = 0; i < 5; ++i) {
    Client client(running.where, 4096);
    client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  CHECK(Client(running.where).get("/healthz").status() == "200");
}

TEST_CASE("one connection too many gets 503, and a place that becomes free is used") {
  Running running;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < Server::kMaxConnections; ++i) {
    clients.push_back(std::make_unique<Client>(running.where));
    CHECK(clients.back()->get("/healthz").status() == "200");
  }
  {
    Client surplus(running.where);
    CHECK(surplus.read_answer().status() == "503");
    CHECK(surplus.at_end());
  }
  clients.back()->get("/healthz", "Connection: close\r\n");
  CHECK(clients.back()->at_end());
  clients.pop_back();
  while (running.connections() == Server::kMaxConnections) std::this_thread::yield();
  CHECK(Client(running.where).get("/healthz").status() == "200");
}

TEST_CASE("a head that does not arrive in time is a 408") {
  Running running;
  Client client(running.where);
  client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
  running.fast_forward(Connection::kHeadTimeout + Millis(1'000));
  const auto answer = client.read_answer();
  CHECK(answer.status() == "408");
  CHECK(answer.body.find("request_header_timeout") != std::string::npos);
  CHECK(client.at_end());
}

TEST_CASE("a client that says nothing is closed: soon at first, later between two requests") {
  Running running;
  Client silent(running.where);
  Client idle(running.where);
  CHECK(idle.get("/healthz").status() == "200");
  running.fast_forward(Connection::kHeadTimeout + Millis(1'000));
  CHECK(running.connections() == 1);
  CHECK(silent.at_end());
  running.fast_forward(Connection::kIdleTimeout + Millis(1'000));
  CHECK(running.connections() == 0);
  CHECK(idle.at_end());
}

TEST_CASE("an answer that the client does not take in time is given up") {
  Running running;
  make_page_large(running.gateway.registry);
  Client client(running.where, 4096);
  client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  running.fast_forward(Connection::kWriteTimeout - Millis(1'000));
  CHECK(running.connections() == 1);
  running.fast_forward(Connection::kWriteTimeout + Millis(1'000));
  CHECK(running.connections() == 0);
  CHECK(client.read_to_end().size() < stats::prometheus_text(running.gateway.registry).size());
}

TEST_CASE("a token is asked for over the wire too") {
  Running running("127.0.0.1:0", "s3cret");
  Client client(running.where);
  const auto refused = client.get("/metrics");
  CHECK(refused.status() == "401");
  CHECK(refused.head.find("WWW-Authenticate: Bearer") != std::string::npos);
  CHECK(client.get("/metrics", "Authorization: Bearer s3cret\r\n").status() == "200");
}

TEST_CASE("the admin listener may be a unix socket, and its Host may be any") {
  const std::string path = "/tmp/sluice-admin-test-" + std::to_string(::getpid()) + ".sock";
  Running running(("unix:" + path).c_str());
  Client client(running.where);
  client.send("GET /healthz HTTP/1.1\r\nHost: sluice\r\n\r\n");
  CHECK(client.read_answer().status() == "200");
}

TEST_CASE("an address that is taken is an error") {
  Running running;
  event::Loop loop;
  snapshot::AdminSpec spec;
  spec.address = running.where;
  test::Gateway gateway;
  CHECK_FALSE(Server::start(loop, spec, gateway.sources()));
}

}  // namespace
}  // namespace sluice::admin
