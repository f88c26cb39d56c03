#include "http/proxy_protocol.h"

#include <algorithm>
#include <cstring>

#include "base/format.h"
#include "base/strings.h"
#include "http/parser.h"

namespace sluice::http {

namespace {

constexpr std::string_view kFirstWord = "PROXY ";
constexpr size_t kMaxLineBytes = 107;
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixedBytes = 16;  // of version 2: signature, version and command, family, length
constexpr size_t kMaxTextBytes = 255;

enum Command : uint8_t { kLocal = 0, kProxy = 1 };
enum Family : uint8_t { kUnspecified = 0, kInet = 1, kInet6 = 2, kUnix = 3 };
constexpr uint8_t kStream = 1;
constexpr size_t kAddressBytes[] = {0, 12, 36, 216};  // both addresses and ports, by family

enum Type : uint8_t { kAlpn = 0x01, kAuthority = 0x02, kCrc32c = 0x03, kTls = 0x20 };
enum TlsType : uint8_t { kTlsVersion = 0x21, kTlsCommonName = 0x22, kTlsCipher = 0x23 };
enum TlsClient : uint8_t { kSpeaksTls = 1, kShowedCertificate = 2, kShowedCertificateEarlier = 4 };
constexpr size_t kTlsFixedBytes = 5;  // what the client did, and what became of its certificate

constexpr Error bad(const char* detail) { return {Reason::proxy_protocol_bad, detail}; }

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
uint16_t number_at(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

// --- version 1 ---

std::string_view next_word(std::string_view& rest) {
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  return word;
}

bool read_port(std::string_view text, uint16_t& port) {
  const auto value = parse_u64(text);
  if (!value || *value > 65535 || (text.size() > 1 && text.front() == '0')) return false;
  port = static_cast<uint16_t>(*value);
  return true;
}

bool read_addresses(std::string_view rest, int family, ProxyHeader& header) {
  const auto source = SocketAddress::parse_ip(next_word(rest));
  const auto destination = SocketAddress::parse_ip(next_word(rest));
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  const bool ports = read_port(next_word(rest), source_port) && read_port(rest, destination_port);
  if (!ports || !source || !destination || source->family() != family || destination->family() != family) return false;
  header.has_addresses = true;
  header.source = source->with_port(source_port);
  header.destination = destination->with_port(destination_port);
  return true;
}

Result<size_t> read_line(std::string_view bytes, ProxyHeader& header) {
  const auto end = static_cast<size_t>(
      std::find_if(bytes.begin(), bytes.end(), [](char c) { return c < ' ' || c > '~'; }) - bytes.begin());
  if (end + 2 > kMaxLineBytes) return bad("the line is longer than 107 bytes");
  if (bytes.substr(end).empty() || bytes.substr(end) == "\r") return 0;
  if (!bytes.substr(end).starts_with("\r\n")) return bad("the line holds a control character");
  std::string_view rest = bytes.substr(kFirstWord.size(), end - kFirstWord.size());
  const std::string_view family = next_word(rest);
  const bool understood = (family == "TCP4" && read_addresses(rest, AF_INET, header)) ||
                          (family == "TCP6" && read_addresses(rest, AF_INET6, header)) || family == "UNKNOWN";
  if (!understood) return bad("the line is not PROXY TCP4|TCP6|UNKNOWN with two addresses and two ports");
  return end + 2;
}

// --- version 2 ---

SocketAddress inet(std::string_view address, uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  std::memcpy(&made.sin_addr, address.data(), sizeof made.sin_addr);
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&made), sizeof made);
}

SocketAddress inet6(std::string_view address, uint16_t port) {
  sockaddr_in6 made{};
  made.sin6_family = AF_INET6;
  made.sin6_port = htons(port);
  std::memcpy(&made.sin6_addr, address.data(), sizeof made.sin6_addr);
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&made), sizeof made);
}

SocketAddress unix_path(std::string_view path) {
  sockaddr_un made{};
  made.sun_family = AF_UNIX;
  std::memcpy(made.sun_path, path.data(), sizeof made.sun_path);
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&made), sizeof made);
}

void read_addresses(Family family, std::string_view bytes, ProxyHeader& header) {
  header.has_addresses = family != kUnspecified;
  switch (family) {
    case kUnspecified: return;
    case kInet:
      header.source = inet(bytes, number_at(bytes, 8));
      header.destination = inet(bytes.substr(4), number_at(bytes, 10));
      return;
    case kInet6:
      header.source = inet6(bytes, number_at(bytes, 32));
      header.destination = inet6(bytes.substr(16), number_at(bytes, 34));
      return;
    case kUnix: header.source = unix_path(bytes); header.destination = unix_path(bytes.substr(108));
  }
}

/// One type, length and value off the front of `rest`; false if it is cut short.
bool next_field(std::string_view& rest, uint8_t& type, std::string_view& value) {
  if (rest.size() < 3) return false;
  type = byte_at(rest, 0);
  const size_t length = number_at(rest, 1);
  if (rest.size() - 3 < length) return false;
  value = rest.substr(3, length);
  rest.remove_prefix(3 + length);
  return true;
}

/// Texts go into header fields and logs: one that cannot is as good as none.
std::string_view text_of(std::string_view value) { return is_field_value(value) ? value : std::string_view(); }

bool read_tls(std::string_view bytes, ProxyHeader& header) {
  if (bytes.size() < kTlsFixedBytes) return false;
  const uint8_t client = byte_at(bytes, 0);
  const bool verified = (number_at(bytes, 1) | number_at(bytes, 3)) == 0;
  const bool showed = (client & (kShowedCertificate | kShowedCertificateEarlier)) != 0;
  header.over_tls = (client & kSpeaksTls) != 0;
  for (std::string_view rest = bytes.substr(kTlsFixedBytes); !rest.empty();) {
    uint8_t type = 0;
    std::string_view value;
    if (!next_field(rest, type, value)) return false;
    if (!header.over_tls) continue;
    if (type == kTlsVersion) header.tls_version = text_of(value);
    if (type == kTlsCipher) header.tls_cipher = text_of(value);
    if (type == kTlsCommonName && showed && verified) header.tls_client_name = text_of(value);
  }
  return true;
}

// CRC-32C (RFC 9260 appendix A), bit by bit: a header is short, and few have it.
uint32_t crc32c(std::string_view bytes, uint32_t crc) {
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return crc;
}

/// `field` is the checksum's place in `header`; it counts as zero there.
bool has_checksum(std::string_view header, std::string_view field) {
  const auto at = static_cast<size_t>(field.data() - header.data());
  uint32_t crc = crc32c(header.substr(0, at), 0xffffffff);
  crc = crc32c(std::string_view("\0\0\0\0", 4), crc);
  crc = ~crc32c(header.substr(at + 4), crc);
  return crc == (uint32_t{number_at(field, 0)} << 16 | number_at(field, 2));
}

Result<size_t> read_binary(std::string_view bytes, ProxyHeader& header) {
  if (bytes.size() < kFixedBytes) return 0;
  const uint8_t command = byte_at(bytes, 12) & 15;
  const uint8_t family = byte_at(bytes, 13) >> 4;
  const uint8_t transport = byte_at(bytes, 13) & 15;
  if (byte_at(bytes, 12) >> 4 != 2 || command > kProxy) return bad("its version or command is unknown");
  if (family > kUnix || transport > 2) return bad("its address family or transport is unknown");
  const size_t length = kFixedBytes + number_at(bytes, 14);
  if (length > kMaxProxyHeaderBytes) return bad("it is longer than 4 KiB");
  if (bytes.size() < length) return 0;
  if (command == kLocal) return length;  // the rest is to be ignored
  std::string_view rest = bytes.substr(kFixedBytes, length - kFixedBytes);
  if (rest.size() < kAddressBytes[family]) return bad("its addresses are cut short");
  read_addresses(static_cast<Family>(family), rest, header);
  rest.remove_prefix(kAddressBytes[family]);
  while (!rest.empty()) {
    uint8_t type = 0;
    std::string_view value;
    if (!next_field(rest, type, value)) return bad("one of its fields is cut short");
    if (type == kAlpn) header.alpn = value;
    if (type == kAuthority) header.server_name = text_of(value);
    if (type == kTls && !read_tls(value, header)) return bad("its field about TLS is cut short");
    if (type != kCrc32c) continue;
    if (value.size() != 4 || !has_checksum(bytes.substr(0, length), value)) return bad("its checksum is wrong");
  }
  return length;
}

// --- writing ---

std::string sixteen_bytes(const SocketAddress& address) {
  if (address.family() == AF_INET6) {
    const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(address.get());
    return {reinterpret_cast<const char*>(&v6.sin6_addr), sizeof v6.sin6_addr};
  }
  const auto& v4 = *reinterpret_cast<const sockaddr_in*>(address.get());
  return std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12).append(reinterpret_cast<const char*>(&v4.sin_addr), 4);
}

bool is_ip(const SocketAddress& address) { return address.family() == AF_INET || address.family() == AF_INET6; }

void append_number(std::string& out, size_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number);
}

void append_field(std::string& out, uint8_t type, std::string_view value) {
  if (value.empty() || value.size() > kMaxTextBytes) return;
  out += static_cast<char>(type);
  append_number(out, value.size());
  out += value;
}

std::string tls_field(const ProxyHeader& header) {
  const bool certificate = !header.tls_client_name.empty();
  std::string value(1, static_cast<char>(kSpeaksTls | (certificate ? kShowedCertificate : 0)));
  value += certificate ? std::string_view("\0\0\0\0", 4) : std::string_view("\0\0\0\1", 4);
  append_field(value, kTlsVersion, header.tls_version);
  append_field(value, kTlsCommonName, header.tls_client_name);
  append_field(value, kTlsCipher, header.tls_cipher);
  return value;
}

// An IPv4 address beside an IPv6 one is written as that one: a header has one family.
std::string write_line(const ProxyHeader& header) {
  if (!header.has_addresses) return "PROXY UNKNOWN\r\n";
  char source[INET6_ADDRSTRLEN];
  char destination[INET6_ADDRSTRLEN];
  const bool mixed = header.source.family() != header.destination.family();
  const auto text = [mixed](const SocketAddress& address, char* out) -> std::string {
    const bool mapped = mixed && address.family() == AF_INET;
    return (mapped ? "::ffff:" : "") + std::string(out, address.write_ip(out));
  };
  const char* family = !mixed && header.source.family() == AF_INET ? "TCP4" : "TCP6";
  return fmt::format("PROXY {} {} {} {} {}\r\n", family, text(header.source, source),
                     text(header.destination, destination), header.source.port(), header.destination.port());
}

std::string write_binary(const ProxyHeader& header) {
  std::string rest;
  Family family = kUnspecified;
  if (header.has_addresses) {
    const bool v4 = header.source.family() == AF_INET && header.destination.family() == AF_INET;
    family = v4 ? kInet : kInet6;
    for (const SocketAddress* address : {&header.source, &header.destination}) {
      rest += sixteen_bytes(*address).substr(v4 ? 12 : 0);
    }
    append_number(rest, header.source.port());
    append_number(rest, header.destination.port());
  }
  append_field(rest, kAlpn, header.alpn);
  append_field(rest, kAuthority, header.server_name);
  if (header.over_tls) {
    const std::string tls = tls_field(header);
    rest += static_cast<char>(kTls);
    append_number(rest, tls.size());
    rest += tls;
  }
  std::string out(kSignature);
  out += static_cast<char>(2 << 4 | kProxy);
  out += static_cast<char>(family == kUnspecified ? 0 : family << 4 | kStream);
  append_number(out, rest.size());
  return out + rest;
}

}  // namespace

Result<size_t> read_proxy_header(std::string_view bytes, ProxyHeader& header) {
  const auto begins = [bytes](std::string_view with) {
    const size_t both = std::min(bytes.size(), with.size());
    return bytes.substr(0, both) == with.substr(0, both);
  };
  header = {};
  if (begins(kSignature)) return read_binary(bytes, header);
  if (!begins(kFirstWord)) return Reason::proxy_protocol_missing;
  return bytes.size() < kFirstWord.size() ? Result<size_t>(0) : read_line(bytes, header);
}

std::string write_proxy_header(ProxyVersion version, const ProxyHeader& header) {
  ProxyHeader written = header;
  written.has_addresses = header.has_addresses && is_ip(header.source) && is_ip(header.destination);
  return version == ProxyVersion::v1 ? write_line(written) : write_binary(written);
}

}  // namespace sluice::http
