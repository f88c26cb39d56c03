// A DNS server on loopback, on the loop of the test: it answers A and AAAA questions from a table, and misbehaves as told.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/unique_fd.h"
#include "event/loop.h"

namespace sluice::event::test {

class DnsServer final : private Poller::Watcher {
 public:
  enum class Manner { honest, silent, wrong_id, garbage, cut_short, too_long_for_udp };
  struct Name {
    std::vector<std::string> addresses;  // IPv4 and IPv6
    uint32_t ttl = 60;
    uint8_t rcode = 0;
    Manner manner = Manner::honest;
    std::string alias_of;  // answered by a CNAME to it, with alias_ttl
    uint32_t alias_ttl = 60;
  };
  static constexpr uint8_t kServerFailure = 2;
  static constexpr uint8_t kNoSuchName = 3;
  static constexpr uint8_t kRefused = 5;

  explicit DnsServer(Loop& loop) : loop_(loop), fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    const SocketAddress any = *SocketAddress::parse("127.0.0.1:0");
    REQUIRE(::bind(fd_.get(), any.get(), any.length()) == 0);
    sockaddr_in bound{};
    socklen_t length = sizeof(bound);
    REQUIRE(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
    address_ = SocketAddress::from(reinterpret_cast<const sockaddr*>(&bound), length);
    REQUIRE(loop.poller().add(fd_.get(), EPOLLIN, *this));
  }
  ~DnsServer() { stop(); }

  void stop() {
    if (!fd_) return;
    loop_.poller().remove(fd_.get(), *this);
    fd_.reset();
  }
  [[nodiscard]] const SocketAddress& address() const { return address_; }
  [[nodiscard]] size_t asked_for(const std::string& question) const {
    return static_cast<size_t>(std::count(asked.begin(), asked.end(), question));
  }

  std::map<std::string, Name> names;  // who is not here does not exist
  std::vector<std::string> asked;     // "A users.internal"

 private:
  static constexpr size_t kHeader = 12;
  static constexpr uint16_t kA = 1;
  static constexpr uint16_t kCname = 5;
  static constexpr uint16_t kAaaa = 28;

  void on_ready(uint32_t) override {
    char bytes[512];
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    const ssize_t got = ::recvfrom(fd_.get(), bytes, sizeof(bytes), 0, reinterpret_cast<sockaddr*>(&peer), &length);
    if (got < static_cast<ssize_t>(kHeader)) return;
    const std::string reply = answer(std::string(bytes, static_cast<size_t>(got)));
    if (reply.empty()) return;
    ::sendto(fd_.get(), reply.data(), reply.size(), 0, reinterpret_cast<const sockaddr*>(&peer), length);
  }

  std::string answer(const std::string& query) {
    std::string host;
    size_t at = kHeader;
    while (query.at(at) != 0) {
      if (!host.empty()) host += '.';
      const auto label = static_cast<size_t>(query[at]);
      host += query.substr(at + 1, label);
      at += 1 + label;
    }
    const uint16_t type = read16(query, at + 1);
    const std::string question = query.substr(kHeader, at + 5 - kHeader);
    asked.push_back((type == kA ? "A " : "AAAA ") + host);

    const auto found = names.find(host);
    const Name name = found != names.end() ? found->second : Name{.rcode = kNoSuchName};
    if (name.manner == Manner::silent) return {};
    if (name.manner == Manner::garbage) return "no DNS";
    std::string records;
    uint16_t count = 0;
    if (!name.alias_of.empty()) {
      records += record(kCname, name.alias_ttl, encoded(name.alias_of));
      ++count;
    }
    for (const std::string& text : name.addresses) {
      const bool v6 = text.find(':') != std::string::npos;
      if (v6 != (type == kAaaa)) continue;
      char binary[16];
      REQUIRE(inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), binary) == 1);
      records += record(type, name.ttl, std::string(binary, v6 ? 16 : 4), name.alias_of);
      ++count;
    }
    if (name.manner == Manner::cut_short && count > 0) records.resize(records.size() - 3);
    std::string reply = query.substr(0, 2);
    if (name.manner == Manner::wrong_id) reply[0] = static_cast<char>(reply[0] ^ 0x55);
    const bool truncated = name.manner == Manner::too_long_for_udp;
    reply += static_cast<char>(truncated ? 0x83 : 0x81);  // a response, recursion desired
    reply += static_cast<char>(0x80 | name.rcode);
    for (const uint16_t number : {uint16_t{1}, count, uint16_t{0}, uint16_t{0}}) reply += sixteen(number);
    return reply + question + records;
  }

  static uint16_t read16(const std::string& from, size_t at) {
    return static_cast<uint16_t>(static_cast<unsigned char>(from.at(at)) << 8 |
                                 static_cast<unsigned char>(from[at + 1]));
  }
  static std::string sixteen(uint16_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
  static std::string encoded(const std::string& host) {
    std::string out;
    for (size_t from = 0; from <= host.size();) {
      const size_t dot = std::min(host.find('.', from), host.size());
      out += static_cast<char>(dot - from);
      out += host.substr(from, dot - from);
      from = dot + 1;
    }
    return out + '\0';
  }
  static std::string record(uint16_t type, uint32_t ttl, const std::string& data, const std::string& owner = "") {
    std::string out = owner.empty() ? "\xc0\x0c" : encoded(owner);  // the name of the question
    out += sixteen(type) + sixteen(1) + sixteen(static_cast<uint16_t>(ttl >> 16)) + sixteen(static_cast<uint16_t>(ttl));
    return out + sixteen(static_cast<uint16_t>(data.size())) + data;
  }

  Loop& loop_;
  UniqueFd fd_;
  SocketAddress address_;
};

}  // namespace sluice::event::test
