// SocketAddress: where a socket listens or connects: IPv4, IPv6 or a unix path. A value type; compares and
// hashes by content. Network: an address prefix such as 10.0.0.0/8, for trusted_proxies.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

class SocketAddress {
 public:
  SocketAddress() = default;

  /// "127.0.0.1:80", "[::1]:80", "localhost:80" (127.0.0.1), ":80" (any IPv4), "unix:/run/x.sock". Other
  /// names: nothing.
  static std::optional<SocketAddress> parse(std::string_view text);
  /// "192.0.2.7" or "2001:db8::1", with port 0. Allocates nothing.
  static std::optional<SocketAddress> parse_ip(std::string_view text);
  static SocketAddress from(const sockaddr* address, socklen_t length);

  [[nodiscard]] const sockaddr* get() const { return &storage_.any; }
  [[nodiscard]] socklen_t length() const { return length_; }
  [[nodiscard]] int family() const { return storage_.any.sa_family; }
  [[nodiscard]] uint16_t port() const;  // 0 for unix
  /// As parse() reads it: "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock".
  [[nodiscard]] std::string to_string() const;
  /// The address without port, as X-Forwarded-For wants it; "unix" for a unix socket. Returns the length
  /// written to `out`, which must hold INET6_ADDRSTRLEN bytes.
  size_t write_ip(char* out) const;
  /// The same host, another port; not for unix.
  [[nodiscard]] SocketAddress with_port(uint16_t port) const;
  [[nodiscard]] bool is_loopback() const;  // unix sockets count as loopback

  friend bool operator==(const SocketAddress& a, const SocketAddress& b);
  /// Some order: by family, then port, then address.
  friend bool operator<(const SocketAddress& a, const SocketAddress& b);
  [[nodiscard]] size_t hash() const;

 private:
  union Storage {
    sockaddr_un path;  // the largest comes first, so that {} clears all of it
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_{};
  socklen_t length_ = 0;
};

class Network {
 public:
  /// "10.0.0.0/8", "::1/128", or a bare address (full length). Host bits must be zero.
  static std::optional<Network> parse(std::string_view text);
  /// IPv4-mapped IPv6 peers match IPv4 networks.
  [[nodiscard]] bool contains(const SocketAddress& address) const;
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Network&, const Network&) = default;

 private:
  uint8_t bytes_[16] = {};  // IPv4 as ::ffff:a.b.c.d
  uint8_t bits_ = 0;        // 0..128
};

}  // namespace sluice

template <>
struct std::hash<sluice::SocketAddress> {
  size_t operator()(const sluice::SocketAddress& address) const { return address.hash(); }
};
