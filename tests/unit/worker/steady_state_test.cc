// No malloc per request in the steady state: every allocation of the process is counted while a gateway with its access
// log and its metrics on serves keep-alive requests. The log's writer counts as well; the client and the origin of this
// test allocate nothing, so that there is nothing to leave out.
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "small_origin.h"
#include "worker/supervisor.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_SANITIZED
#elif defined(__has_feature)  // clang's way to say it
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLUICE_SANITIZED
#endif
#endif

namespace {
std::atomic<size_t> allocations{0};
#if defined(SLUICE_SANITIZED) || !defined(__GLIBC__)
constexpr bool kCounting = false;
#else
constexpr bool kCounting = true;
#endif
}  // namespace

#if !defined(SLUICE_SANITIZED) && defined(__GLIBC__)
// The whole process allocates through these, operator new of libstdc++ and libuv included; free() stays glibc's.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
}
}
#endif

using namespace sluice;
using worker::test::message_bytes;
using worker::test::SmallOrigin;

namespace {

constexpr uint32_t kConnections = 8;
constexpr std::string_view kGet =
    "GET /users/7?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: test\r\nAccept: */*\r\n"
    "X-Forwarded-For: 192.0.2.7, 2001:db8:1234:5678:9abc:def0:1234:5678\r\n\r\n";

std::string post_of_4_kib() {
  std::string post = "POST /users/7 HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4096\r\n\r\n";
  return post.append(4096, 'x');
}

snapshot::Template compiled(std::string_view source) {
  const std::vector<std::string> captures{"id"};
  std::string error;
  size_t error_at = 0;
  return *snapshot::Template::compile(source, captures, error, error_at);
}

std::shared_ptr<const snapshot::Snapshot> snapshot_for(const SocketAddress& origin, const std::string& log_path) {
  auto made = std::make_shared<snapshot::Snapshot>();
  made->access_log.path = log_path;
  made->trusted_proxies = {*Network::parse("127.0.0.0/8"), *Network::parse("2001:db8::/32")};
  made->listeners.push_back({.name = "public", .address = *SocketAddress::parse("127.0.0.1:0")});
  made->clusters.push_back({.name = "users", .endpoints = {{origin, "origin", 1}, {origin, "again", 1}}});
  snapshot::RouteSpec route{.split = {{0, 1}}, .name = "user", .split_total = 1, .match = {.path = "/users/{id}"}};
  route.captures = {"id"};
  route.rewrite.make().path = compiled("/v2/users/{id}");
  route.request_headers.make().set.emplace_back("X-User", compiled("{id} of {client_ip}"));
  route.response_headers.make().add.emplace_back("X-Route", compiled("{route}"));
  made->routes.push_back(route);
  made->route_table = snapshot::RouteTable::build(made->routes);
  return made;
}

// A blocking client with a few keep-alive connections that take turns. One request is under way at a time: with more,
// the most that ever came together would decide what the gateway holds in reserve, and it might come late.
class Client {
 public:
  explicit Client(const SocketAddress& gateway) {
    for (UniqueFd& fd : fds_) {
      fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      REQUIRE(::connect(fd.get(), gateway.get(), gateway.length()) == 0);
      const timeval patience{10, 0};
      REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    }
  }

  /// How many of `requests` were answered by 200 and the whole body.
  size_t run(std::string_view request, size_t requests) {
    size_t answered = 0;
    for (size_t i = 0; i < requests; ++i) {
      const int fd = fds_[i % fds_.size()].get();
      if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) break;
      answered += read_answer(fd) ? 1 : 0;
    }
    return answered;
  }

 private:
  static bool read_answer(int fd) {
    std::array<char, 4096> bytes;
    size_t held = 0;
    for (;;) {
      const ssize_t got = ::recv(fd, bytes.data() + held, bytes.size() - held, 0);
      if (got <= 0) return false;
      held += static_cast<size_t>(got);
      const std::string_view view(bytes.data(), held);
      if (const size_t whole = message_bytes(view); whole != 0 && held >= whole) {
        return held == whole && view.starts_with("HTTP/1.1 200 ");
      }
    }
  }

  std::array<UniqueFd, kConnections> fds_;
};

struct LogFile {
  LogFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-steady-XXXXXX").string();
    const int fd = ::mkstemp(pattern.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    path = pattern;
  }
  ~LogFile() { std::filesystem::remove(path); }
  std::string path;
};

size_t lines_of(const std::string& path) {
  std::ifstream file(path);
  return static_cast<size_t>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
}

}  // namespace

TEST_CASE("in the steady state a request allocates nothing, with access log and metrics on") {
  constexpr size_t kRequests = 2000;
  const LogFile log;
  SmallOrigin origin;
  stats::Registry registry(1);
  event::Loop control;
  worker::Supervisor gateway(control, registry, {});
  std::string error;
  REQUIRE(gateway.start(snapshot_for(origin.address(), log.path), {}, error));
  const std::string post = post_of_4_kib();
  Client client(gateway.addresses().front());
  REQUIRE(client.run(kGet, kRequests) == kRequests);  // warms up
  REQUIRE(client.run(post, kRequests) == kRequests);

  const size_t before = allocations;
  const size_t gets = client.run(kGet, kRequests);
  const size_t during_gets = allocations - before;
  const size_t posts = client.run(post, kRequests);
  const size_t during_posts = allocations - before - during_gets;
  CHECK(gets == kRequests);
  CHECK(posts == kRequests);
  if (before == 0) WARN("allocations are not counted in this build: it has another allocator than glibc's");
  CHECK((before > 0) == kCounting);
  CHECK(during_gets == 0);
  CHECK(during_posts == 0);
  gateway.stop();
  CHECK(lines_of(log.path) == 4 * kRequests);
  const auto requests = registry.find(stats::Family::requests, {"user", "2xx"});
  REQUIRE(requests.has_value());
  CHECK(registry.value(*requests) == 4 * kRequests);
}
