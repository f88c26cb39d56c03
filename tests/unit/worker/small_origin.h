// SmallOrigin: an endpoint for tests on loopback, on a thread of its own: answers every request, GET or POST with
// Content-Length, with the same 128 bytes, and keeps its connections. Once it runs it allocates nothing, so that a test
// may count what the gateway allocates.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "base/address.h"
#include "base/unique_fd.h"

namespace sluice::worker::test {

/// The bytes behind the head that `bytes` begins with, as its Content-Length says (0 without one), and the head's own
/// length together; 0 while the head is not complete.
inline size_t message_bytes(std::string_view bytes) {
  const size_t head = bytes.find("\r\n\r\n");
  if (head == std::string_view::npos) return 0;
  const size_t length = bytes.substr(0, head).find("Content-Length: ");
  const size_t body = length == std::string_view::npos ? 0 : std::strtoul(bytes.data() + length + 16, nullptr, 10);
  return head + 4 + body;
}

class SmallOrigin {
 public:
  static constexpr size_t kBodyBytes = 128;

  SmallOrigin() {
    listening_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress any = *SocketAddress::parse("127.0.0.1:0");
    REQUIRE(::bind(listening_.get(), any.get(), any.length()) == 0);
    REQUIRE(::listen(listening_.get(), 128) == 0);
    sockaddr_storage bound{};
    socklen_t length = sizeof(bound);
    REQUIRE(::getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
    address_ = SocketAddress::from(reinterpret_cast<const sockaddr*>(&bound), length);
    REQUIRE(::pipe(stop_.data()) == 0);
    thread_ = std::thread([this] { run(); });
  }
  ~SmallOrigin() {
    ::close(stop_[1]);
    thread_.join();
    ::close(stop_[0]);
  }
  SmallOrigin(const SmallOrigin&) = delete;
  SmallOrigin& operator=(const SmallOrigin&) = delete;

  [[nodiscard]] const SocketAddress& address() const { return address_; }

 private:
  static constexpr size_t kMaxConnections = 64;

  struct Peer {
    UniqueFd fd;
    size_t held = 0;
    std::array<char, 16384> bytes;
  };

  void run() {
    std::array<pollfd, kMaxConnections + 2> polled;
    for (;;) {
      polled[0] = {stop_[0], POLLIN, 0};
      polled[1] = {peer_count_ < kMaxConnections ? listening_.get() : -1, POLLIN, 0};
      for (size_t i = 0; i < peer_count_; ++i) polled[i + 2] = {peers_[i].fd.get(), POLLIN, 0};
      const size_t known = peer_count_;
      if (::poll(polled.data(), known + 2, -1) < 0 || polled[0].revents != 0) return;
      if (polled[1].revents != 0) peers_[peer_count_++].fd.reset(::accept(listening_.get(), nullptr, nullptr));
      for (size_t i = 0; i < known; ++i) {
        if (polled[i + 2].revents != 0) serve(peers_[i]);
      }
    }
  }

  static void serve(Peer& peer) {
    const ssize_t got = ::read(peer.fd.get(), peer.bytes.data() + peer.held, peer.bytes.size() - peer.held);
    if (got <= 0) return peer.fd.reset();
    peer.held += static_cast<size_t>(got);
    const size_t whole = message_bytes({peer.bytes.data(), peer.held});
    if (whole == 0 || peer.held < whole) return;
    peer.held = 0;
    static constexpr std::string_view kAnswer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n"
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    if (::send(peer.fd.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) < 0) peer.fd.reset();
  }

  UniqueFd listening_;
  SocketAddress address_;
  std::array<int, 2> stop_{-1, -1};
  std::array<Peer, kMaxConnections> peers_;
  size_t peer_count_ = 0;
  std::thread thread_;
};

}  // namespace sluice::worker::test
