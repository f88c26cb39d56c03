// What the tests of this folder share: a Loop under a Driver, an endpoint on loopback that
// is scripted by the test on the same thread, and users and waiters that note what they hear.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "../loop_driver.h"
#include "base/unique_fd.h"
#include "stats/registry.h"
#include "upstream/pool.h"

namespace sluice::upstream::test {

using sluice::test::Driver;

/// The endpoint's side of one connection.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}

  void send(std::string_view bytes) {
    REQUIRE(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void close() { fd_.reset(); }
  /// Ends with RST instead of FIN.
  void reset() {
    const linger now{1, 0};
    REQUIRE(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
    fd_.reset();
  }
  /// True once the gateway closed its side and everything it sent was read.
  [[nodiscard]] bool saw_end() {
    char bytes[4096];
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got == 0) return true;
      if (got < 0) return errno == ECONNRESET;
    }
  }

 private:
  UniqueFd fd_;
};

/// A listening socket, on loopback unless `any` says otherwise.
class Origin {
 public:
  explicit Origin(const SocketAddress& any = *SocketAddress::parse("127.0.0.1:0")) {
    fd_.reset(::socket(any.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    REQUIRE(::bind(fd_.get(), any.get(), any.length()) == 0);
    REQUIRE(::listen(fd_.get(), 64) == 0);
    sockaddr_storage bound{};
    socklen_t length = sizeof(bound);
    REQUIRE(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
    address_ = SocketAddress::from(reinterpret_cast<const sockaddr*>(&bound), length);
  }
  [[nodiscard]] const SocketAddress& address() const { return address_; }
  /// The next connection, which must be there already: the kernel completes it without us.
  [[nodiscard]] Peer accept() {
    await();
    return Peer(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  /// The same, non-blocking, and the caller's.
  [[nodiscard]] int accept_fd() {
    await();
    return ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  }
  /// From now on connections are refused.
  void stop_listening() { fd_.reset(); }

 private:
  void await() {
    pollfd ready{fd_.get(), POLLIN, 0};
    REQUIRE(::poll(&ready, 1, 10'000) == 1);
  }

  UniqueFd fd_;
  SocketAddress address_;
};

/// Notes what a connection says, as one line of text per event, and holds the lease.
class Probe final : public Carrier::User, public Pool::Waiter {
 public:
  Probe(event::Loop& loop, std::string name = "") : Waiter(loop), name_(std::move(name)) {}

  // Pool::Waiter
  void on_lease(Carrier& carrier) override {
    lease = Lease(carrier);
    if (order != nullptr) order->push_back(name_);
  }
  void on_lease_failed(Error error) override {
    failed = error.reason;
    if (order != nullptr) order->push_back(name_ + " failed");
  }
  Carrier::User& user() override { return *this; }
  [[nodiscard]] http::Method request_method() const override { return method; }

  // Connection::User
  void on_informational(const http::ResponseHead& head) override {
    events.push_back("informational " + std::to_string(head.status));
  }
  void on_response_head(const http::ResponseHead& head, const http::ResponseFraming&) override {
    events.push_back("head " + std::to_string(head.status));
  }
  void on_response_body(std::string_view data) override { body.append(data); }
  event::Pipe* offer_splice(uint64_t) override { return pipe.get(); }
  void on_response_end(const http::HeaderMap& trailers) override {
    events.emplace_back("end");
    for (const http::HeaderField& field : trailers) {
      events.push_back("trailer " + std::string(field.name) + "=" + std::string(field.value));
    }
    reusable_at_end = reusable();
    if (!release_at_end) return;
    spliced = pipe ? pipe->held() : 0;
    pipe.reset();
    lease.give_back(Reason::keepalive_done);
  }
  void on_upstream_pause_point() override { ++pause_points; }
  void on_upstream_writable() override {}
  void on_upstream_error(Error error) override {
    events.push_back("error " + std::string(sluice::name(error.reason)));
    lease.give_back(error.reason);
  }
  [[nodiscard]] const Connection& connection() const { return static_cast<Connection&>(*lease); }
  [[nodiscard]] bool reusable() const { return connection().reusable(); }
  [[nodiscard]] bool heard(std::string_view event) const {
    return std::find(events.begin(), events.end(), event) != events.end();
  }

  http::Method method = http::Method::GET;
  bool release_at_end = true;
  Lease lease;
  std::optional<Reason> failed;
  std::vector<std::string> events;
  std::string body;
  size_t spliced = 0;
  int pause_points = 0;
  std::unique_ptr<event::Pipe> pipe;  // where a body of known length is spliced, if there is one
  std::optional<bool> reusable_at_end;
  std::vector<std::string>* order = nullptr;  // where all probes of a test note that they were served

 private:
  std::string name_;
};

/// A loop with one pool to one endpoint, and its figures.
struct World {
  explicit World(snapshot::PoolSpec pool_spec = {}, snapshot::ClusterTimeouts timeouts = {})
      : pool(std::make_unique<Pool>(shared, origin.address(), pool_spec, timeouts, series_of(hold))) {}

  static EndpointSeries series_of(stats::SeriesHold& hold, std::string_view endpoint = "e") {
    return EndpointSeries::intern(hold, "u", endpoint, false);
  }
  [[nodiscard]] uint64_t figure(stats::SeriesId id) const { return registry.value(id); }
  [[nodiscard]] uint64_t closed(Reason reason) const { return figure(stats::pick(pool->series().closed, reason)); }
  /// Nothing is open, and the gauges say so.
  [[nodiscard]] bool quiet() const {
    const EndpointSeries& s = pool->series();
    return pool->open() == 0 && pool->leased() == 0 && pool->pending() == 0 && pool->idle() == 0 &&
           figure(s.active) == 0 && figure(s.idle) == 0 && figure(s.pending) == 0;
  }

  /// Leases a connection for `who`, opening one if need be.
  void lease(Probe& who, bool fresh = false) {
    const Result<Carrier*> acquired = pool->acquire(who, fresh);
    REQUIRE(acquired.has_value());
    if (*acquired != nullptr) return who.on_lease(**acquired);
    REQUIRE(driver.until([&] { return static_cast<bool>(who.lease); }));
  }
  /// One whole exchange: the peer answers and the connection goes back.
  void exchange(Probe& who, Peer& peer) {
    const size_t before = who.events.size();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    REQUIRE(driver.until([&] { return who.events.size() >= before + 2; }));
  }

  event::Loop loop;
  stats::Registry registry{1};
  stats::SeriesHold hold{registry};
  Random random{1};
  std::vector<http::HeaderField> fields{256};
  PoolShared shared{loop, registry.shard(0), random, fields};
  Origin origin;
  Driver driver{loop};
  std::unique_ptr<Pool> pool;
};

}  // namespace sluice::upstream::test
