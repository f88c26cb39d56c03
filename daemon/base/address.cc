#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/assert.h"
#include "base/strings.h"

namespace sluice {

namespace {
constexpr std::string_view kUnixPrefix = "unix:";
constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// inet_pton wants a terminated text.
template <typename Binary>
bool read_ip(int family, std::string_view text, Binary* out) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof terminated || text.find('\0') != text.npos) return false;
  std::memcpy(terminated, text.data(), text.size());
  terminated[text.size()] = '\0';
  return inet_pton(family, terminated, out) == 1;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  const auto value = parse_u64(text);
  if (!value || *value > 65535 || text.size() > 5) return std::nullopt;
  return static_cast<uint16_t>(*value);
}

// An IPv4 address as ::ffff:a.b.c.d, an IPv6 address as it is; false for unix.
bool to_sixteen_bytes(const sockaddr* address, uint8_t* out) {
  if (address->sa_family == AF_INET6) {
    std::memcpy(out, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, 16);
    return true;
  }
  if (address->sa_family != AF_INET) return false;
  std::memcpy(out, kMappedPrefix, 12);
  std::memcpy(out + 12, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, 4);
  return true;
}

// True if the first `bits` bits agree.
bool same_prefix(const uint8_t* a, const uint8_t* b, unsigned bits) {
  if (std::memcmp(a, b, bits / 8) != 0) return false;
  return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}
}  // namespace

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  SocketAddress result;
  if (text.starts_with(kUnixPrefix)) {
    const std::string_view path = text.substr(kUnixPrefix.size());
    sockaddr_un& un = result.storage_.path;
    if (path.empty() || path.size() >= sizeof un.sun_path || path.find('\0') != path.npos) return std::nullopt;
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), path.size());
    result.length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return result;
  }
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return std::nullopt;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6& v6 = result.storage_.v6;
    if (!read_ip(AF_INET6, host.substr(1, host.size() - 2), &v6.sin6_addr)) return std::nullopt;
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(*port);
    result.length_ = sizeof v6;
    return result;
  }
  if (host.empty()) host = "0.0.0.0";
  if (iequals(host, "localhost")) host = "127.0.0.1";
  sockaddr_in& v4 = result.storage_.v4;
  if (!read_ip(AF_INET, host, &v4.sin_addr)) return std::nullopt;
  v4.sin_family = AF_INET;
  v4.sin_port = htons(*port);
  result.length_ = sizeof v4;
  return result;
}

std::optional<SocketAddress> SocketAddress::parse_ip(std::string_view text) {
  SocketAddress result;
  if (read_ip(AF_INET, text, &result.storage_.v4.sin_addr)) {
    result.storage_.v4.sin_family = AF_INET;
    result.length_ = sizeof(sockaddr_in);
  } else if (read_ip(AF_INET6, text, &result.storage_.v6.sin6_addr)) {
    result.storage_.v6.sin6_family = AF_INET6;
    result.length_ = sizeof(sockaddr_in6);
  } else {
    return std::nullopt;
  }
  return result;
}

SocketAddress SocketAddress::from(const sockaddr* address, socklen_t length) {
  SocketAddress result;
  result.length_ = std::min<socklen_t>(length, sizeof result.storage_);
  std::memcpy(&result.storage_, address, result.length_);
  return result;
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

SocketAddress SocketAddress::with_port(uint16_t port) const {
  SocketAddress result = *this;
  if (family() == AF_INET) result.storage_.v4.sin_port = htons(port);
  if (family() == AF_INET6) result.storage_.v6.sin6_port = htons(port);
  return result;
}

size_t SocketAddress::write_ip(char* out) const {
  const void* binary = &storage_.v4.sin_addr;
  if (family() == AF_INET6) {
    binary = &storage_.v6.sin6_addr;
  } else if (family() != AF_INET) {
    std::memcpy(out, "unix", 4);
    return 4;
  }
  SL_ASSERT(inet_ntop(family(), binary, out, INET6_ADDRSTRLEN) != nullptr);
  return std::strlen(out);
}

std::string SocketAddress::to_string() const {
  if (family() == AF_UNIX) {
    const char* path = storage_.path.sun_path;  // not terminated if it fills its array
    return std::string(kUnixPrefix).append(path, ::strnlen(path, sizeof storage_.path.sun_path));
  }
  char ip[INET6_ADDRSTRLEN];
  const std::string_view host(ip, write_ip(ip));
  std::string text;
  if (family() == AF_INET6) text += '[';
  text += host;
  if (family() == AF_INET6) text += ']';
  return text + ':' + std::to_string(port());
}

bool SocketAddress::is_loopback() const {
  uint8_t bytes[16];
  if (!to_sixteen_bytes(get(), bytes)) return family() == AF_UNIX;
  if (same_prefix(bytes, kMappedPrefix, 96)) return bytes[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&storage_.v6.sin6_addr);
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.length_ == b.length_ && std::memcmp(&a.storage_, &b.storage_, a.length_) == 0;
}

bool operator<(const SocketAddress& a, const SocketAddress& b) {
  const int order = std::memcmp(&a.storage_, &b.storage_, std::min(a.length_, b.length_));
  return order != 0 ? order < 0 : a.length_ < b.length_;
}

size_t SocketAddress::hash() const {
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(&storage_), length_});
}

std::optional<Network> Network::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view ip = text.substr(0, slash);
  const bool v6 = ip.find(':') != ip.npos;
  Network network;
  uint8_t* at = network.bytes_;
  if (!v6) {
    std::memcpy(at, kMappedPrefix, 12);
    at += 12;
  }
  if (!read_ip(v6 ? AF_INET6 : AF_INET, ip, at)) return std::nullopt;
  const unsigned width = v6 ? 128 : 32;
  uint64_t bits = width;
  if (slash != text.npos) {
    const auto given = parse_u64(text.substr(slash + 1));
    if (!given || *given > width) return std::nullopt;
    bits = *given;
  }
  network.bits_ = static_cast<uint8_t>(bits + 128 - width);
  for (unsigned bit = network.bits_; bit < 128; ++bit) {
    if ((network.bytes_[bit / 8] >> (7 - bit % 8) & 1) != 0) return std::nullopt;
  }
  return network;
}

bool Network::contains(const SocketAddress& address) const {
  uint8_t bytes[16];
  return to_sixteen_bytes(address.get(), bytes) && same_prefix(bytes, bytes_, bits_);
}

std::string Network::to_string() const {
  char ip[INET6_ADDRSTRLEN];
  const bool v4 = bits_ >= 96 && same_prefix(bytes_, kMappedPrefix, 96);
  SL_ASSERT(inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes_ + 12 : bytes_, ip, sizeof ip) != nullptr);
  return std::string(ip) + '/' + std::to_string(v4 ? bits_ - 96 : bits_);
}

}  // namespace sluice
