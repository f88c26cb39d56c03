#include "base/address.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <unordered_set>

using namespace sluice;
using namespace std::string_view_literals;

namespace {
SocketAddress address(std::string_view text) {
  const auto parsed = SocketAddress::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}
Network network(std::string_view text) {
  const auto parsed = Network::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}
std::string ip_of(std::string_view text) {
  char out[INET6_ADDRSTRLEN];
  return {out, address(text).write_ip(out)};
}
}  // namespace

TEST_CASE("addresses are read and written in one form", "[address]") {
  struct Row {
    const char* text;
    const char* written;
    int family;
    uint16_t port;
  };
  const Row rows[] = {
      {"127.0.0.1:80", "127.0.0.1:80", AF_INET, 80},
      {"localhost:8080", "127.0.0.1:8080", AF_INET, 8080},
      {"LocalHost:1", "127.0.0.1:1", AF_INET, 1},
      {":80", "0.0.0.0:80", AF_INET, 80},
      {"10.1.2.3:0", "10.1.2.3:0", AF_INET, 0},
      {"[::1]:65535", "[::1]:65535", AF_INET6, 65535},
      {"[2001:DB8::A]:443", "[2001:db8::a]:443", AF_INET6, 443},
      {"unix:/run/x.sock", "unix:/run/x.sock", AF_UNIX, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const SocketAddress parsed = address(row.text);
    CHECK(parsed.to_string() == row.written);
    CHECK(parsed.family() == row.family);
    CHECK(parsed.port() == row.port);
    CHECK(address(parsed.to_string()) == parsed);
  }
}

TEST_CASE("what is no address is nothing", "[address]") {
  for (const auto text : {"",
                          "80",
                          "127.0.0.1",
                          "127.0.0.1:",
                          "127.0.0.1:65536",
                          "127.0.0.1:-1",
                          "127.0.0.1:+1",
                          "127.0.0.1: 80",
                          "127.0.0.1:00000080",
                          "1.2.3:80",
                          "1.2.3.4.5:80",
                          "256.1.1.1:80",
                          "::1:80",
                          "[::1]",
                          "[::1:80",
                          "::1]:80",
                          "[]:80",
                          "[127.0.0.1]:80",
                          "[::1%lo]:80",
                          "example.com:80",
                          "unix:",
                          "http://127.0.0.1:80"}) {
    CAPTURE(text);
    CHECK_FALSE(SocketAddress::parse(text).has_value());
  }
  CHECK_FALSE(SocketAddress::parse("unix:/a\0b"sv).has_value());
  CHECK_FALSE(SocketAddress::parse("127.0.0.1\0:80"sv).has_value());
  CHECK_FALSE(SocketAddress::parse("unix:" + std::string(108, 'x')).has_value());
  CHECK(SocketAddress::parse("unix:" + std::string(107, 'x')).has_value());
}

TEST_CASE("addresses are equal and hash alike by content", "[address]") {
  CHECK(address("127.0.0.1:80") == address("localhost:80"));
  CHECK_FALSE(address("127.0.0.1:80") == address("127.0.0.1:81"));
  CHECK_FALSE(address("[::]:80") == address("0.0.0.0:80"));
  CHECK_FALSE(address("unix:/a") == address("unix:/ab"));
  CHECK(SocketAddress() == SocketAddress());
  const std::unordered_set<SocketAddress> set = {address("127.0.0.1:80"), address(":80"), address("localhost:80")};
  CHECK(set.size() == 2);
}

TEST_CASE("an address given by the kernel equals the one that was written", "[address]") {
  const SocketAddress written = address("[fe80::1]:9");
  CHECK(SocketAddress::from(written.get(), written.length()) == written);
}

TEST_CASE("a unix path that fills its array is not read past its end", "[address]") {
  sockaddr_un full{};
  full.sun_family = AF_UNIX;
  std::memset(full.sun_path, 'p', sizeof full.sun_path);
  const auto from = SocketAddress::from(reinterpret_cast<sockaddr*>(&full), sizeof full);
  CHECK(from.to_string() == "unix:" + std::string(sizeof full.sun_path, 'p'));
}

TEST_CASE("the unnamed address of a unix client can be printed", "[address]") {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  const auto from = SocketAddress::from(reinterpret_cast<sockaddr*>(&unnamed), sizeof(sa_family_t));
  CHECK(from.to_string() == "unix:");
  CHECK(from.is_loopback());
}

TEST_CASE("the address without its port is what X-Forwarded-For wants", "[address]") {
  CHECK(ip_of("10.1.2.3:80") == "10.1.2.3");
  CHECK(ip_of("[2001:db8::1]:80") == "2001:db8::1");
  CHECK(ip_of("unix:/x") == "unix");
}

TEST_CASE("loopback is 127/8, ::1, the mapped 127/8, and every unix socket", "[address]") {
  for (const auto text : {"127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x"}) {
    CHECK(address(text).is_loopback());
  }
  for (const auto text : {"128.0.0.1:1", "0.0.0.0:1", "[::]:1", "[::2]:1", "[::ffff:10.0.0.1]:1"}) {
    CHECK_FALSE(address(text).is_loopback());
  }
}

TEST_CASE("networks contain the addresses of their prefix", "[network]") {
  struct Row {
    const char* net;
    const char* peer;
    bool inside;
  };
  const Row rows[] = {
      {"10.0.0.0/8", "10.255.255.255:1", true},
      {"10.0.0.0/8", "11.0.0.0:1", false},
      {"10.0.0.0/8", "[::ffff:10.1.1.1]:1", true},
      {"10.0.0.0/8", "[::10.1.1.1]:1", false},
      {"192.168.1.128/25", "192.168.1.127:1", false},
      {"192.168.1.128/25", "192.168.1.128:1", true},
      {"127.0.0.1", "127.0.0.1:1", true},
      {"127.0.0.1", "127.0.0.2:1", false},
      {"0.0.0.0/0", "9.9.9.9:1", true},
      {"0.0.0.0/0", "[::1]:1", false},
      {"::/0", "[::1]:1", true},
      {"::1/128", "[::1]:1", true},
      {"2001:db8::/33", "[2001:db8:7fff::]:1", true},
      {"2001:db8::/33", "[2001:db8:8000::]:1", false},
      {"::ffff:10.0.0.0/104", "10.2.3.4:1", true},
      {"0.0.0.0/0", "unix:/x", false},
      {"::/0", "unix:/x", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.net, row.peer);
    CHECK(network(row.net).contains(address(row.peer)) == row.inside);
  }
}

TEST_CASE("networks are written as they are read", "[network]") {
  for (const auto text : {"10.0.0.0/8", "0.0.0.0/0", "192.168.1.128/25", "::1/128", "2001:db8::/33"}) {
    CHECK(network(text).to_string() == text);
  }
  CHECK(network("127.0.0.1").to_string() == "127.0.0.1/32");
  CHECK(network("::1").to_string() == "::1/128");
}

TEST_CASE("what is no network is nothing, host bits included", "[network]") {
  for (const auto text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.1/8", "10.0.0.0/8/8", "10.0.0.0/-1",
                          "10.0.0/8", "2001:db8::1/64", "example.com/8", "10.0.0.0/ 8", "[::1]/128"}) {
    CAPTURE(text);
    CHECK_FALSE(Network::parse(text).has_value());
  }
}

TEST_CASE("with_port changes the port and nothing else") {
  CHECK(SocketAddress::parse("127.0.0.1:80")->with_port(443).to_string() == "127.0.0.1:443");
  CHECK(SocketAddress::parse("[2001:db8::1]:0")->with_port(65535).to_string() == "[2001:db8::1]:65535");
}

TEST_CASE("addresses can be sorted, IPv4 before IPv6") {
  const auto less = [](const char* a, const char* b) { return *SocketAddress::parse(a) < *SocketAddress::parse(b); };
  CHECK(less("127.0.0.1:1", "127.0.0.2:1"));
  CHECK_FALSE(less("127.0.0.2:1", "127.0.0.1:1"));
  CHECK_FALSE(less("127.0.0.1:1", "127.0.0.1:1"));
  CHECK(less("255.0.0.1:1", "[::1]:1"));
  CHECK_FALSE(less("[::1]:1", "255.0.0.1:1"));
  CHECK(less("[::1]:1", "[::2]:1"));
}
