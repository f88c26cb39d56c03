#include "http/proxy_protocol.h"

#include <catch2/catch.hpp>
#include <list>

using namespace sluice;
using http::ProxyHeader;
using http::ProxyVersion;

namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string number(size_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
std::string field(char type, const std::string& value) { return type + number(value.size()) + value; }

/// A header of version 2 around `rest`.
std::string binary(char command, char family, const std::string& rest) {
  return kSignature + command + family + number(rest.size()) + rest;
}
std::string inet() { return std::string("\xc0\x00\x02\x07\xc6\x33\x64\x09", 8) + number(4711) + number(443); }
std::string tls(char client, char verify, const std::string& fields) {
  return field('\x20', std::string(1, client) + std::string("\0\0\0", 3) + verify + fields);
}

/// What is read of the whole; nothing if it was refused or is not complete. The texts view bytes that are kept here.
std::optional<ProxyHeader> read(std::string given) {
  static std::list<std::string> kept;
  const std::string& bytes = kept.emplace_back(std::move(given));
  ProxyHeader header;
  const Result<size_t> length = http::read_proxy_header(bytes, header);
  if (!length || *length != bytes.size()) return std::nullopt;
  return header;
}

Reason refusal(std::string_view bytes) {
  ProxyHeader header;
  const Result<size_t> length = http::read_proxy_header(bytes, header);
  return length ? Reason::none : length.error().reason;
}

}  // namespace

TEST_CASE("a line of version 1 tells both addresses", "[proxy_protocol]") {
  const auto v4 = read("PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n");
  REQUIRE(v4);
  CHECK(v4->source.to_string() == "192.0.2.7:4711");
  CHECK(v4->destination.to_string() == "198.51.100.9:443");
  const auto v6 = read("PROXY TCP6 2001:db8::7 2001:db8::9 0 65535\r\n");
  REQUIRE(v6);
  CHECK(v6->source.to_string() == "[2001:db8::7]:0");
  CHECK(v6->destination.to_string() == "[2001:db8::9]:65535");
}

TEST_CASE("a line of version 1 may tell nothing", "[proxy_protocol]") {
  for (const char* line :
       {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 1\r\n", "PROXY UNKNOWN what ever\r\n"}) {
    const auto header = read(line);
    REQUIRE(header);
    CHECK_FALSE(header->has_addresses);
  }
}

TEST_CASE("what is not a line of version 1 is refused", "[proxy_protocol]") {
  for (const char* line : {
           "PROXY \r\n",
           "PROXY TCP4\r\n",
           "PROXY TCP5 192.0.2.7 198.51.100.9 4711 443\r\n",
           "PROXY tcp4 192.0.2.7 198.51.100.9 4711 443\r\n",
           "PROXY UNKNOWNX\r\n",
           "PROXY TCP4 192.0.2.7 198.51.100.9 4711\r\n",
           "PROXY TCP4 192.0.2.7 198.51.100.9 4711 443 \r\n",
           "PROXY TCP4  192.0.2.7 198.51.100.9 4711 443\r\n",
           "PROXY TCP4 192.0.2.7 198.51.100.9 4711 65536\r\n",
           "PROXY TCP4 192.0.2.7 198.51.100.9 04711 443\r\n",
           "PROXY TCP4 192.0.2.7 198.51.100.9 -1 443\r\n",
           "PROXY TCP4 192.0.2.7 198.51.100.256 4711 443\r\n",
           "PROXY TCP4 2001:db8::7 2001:db8::9 4711 443\r\n",
           "PROXY TCP6 192.0.2.7 198.51.100.9 4711 443\r\n",
           "PROXY UNKNOWN\n",
           "PROXY UNKNOWN\nGET / HTTP/1.1\r\n",
           "PROXY UNKNOWN\r\r\n",
           "PROXY UNKNOWN\t\r\n",
       }) {
    CAPTURE(line);
    CHECK(refusal(line) == Reason::proxy_protocol_bad);
  }
}

TEST_CASE("a line of version 1 has at most 107 bytes", "[proxy_protocol]") {
  const std::string most = "PROXY UNKNOWN " + std::string(91, 'x');
  CHECK(read(most + "\r\n"));
  CHECK(refusal(most + "x\r\n") == Reason::proxy_protocol_bad);
  CHECK(refusal(most + "x") == Reason::proxy_protocol_bad);
  CHECK(refusal(most) == Reason::none);
}

TEST_CASE("version 2 tells both addresses", "[proxy_protocol]") {
  const auto v4 = read(binary('\x21', '\x11', inet()));
  REQUIRE(v4);
  CHECK(v4->source.to_string() == "192.0.2.7:4711");
  CHECK(v4->destination.to_string() == "198.51.100.9:443");
  CHECK_FALSE(v4->over_tls);

  const std::string source = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\x07';
  const std::string destination = std::string(15, '\0') + '\x01';
  const auto v6 = read(binary('\x21', '\x21', source + destination + number(4711) + number(443)));
  REQUIRE(v6);
  CHECK(v6->source.to_string() == "[2001:db8::7]:4711");
  CHECK(v6->destination.to_string() == "[::1]:443");

  std::string paths(216, '\0');
  paths.replace(0, 6, "/run/a");
  const auto path = read(binary('\x21', '\x31', paths));
  REQUIRE(path);
  CHECK(path->source.to_string() == "unix:/run/a");
}

TEST_CASE("LOCAL and an unspecified family tell no addresses, whatever stands there", "[proxy_protocol]") {
  for (const std::string& bytes :
       {binary('\x20', '\x00', ""), binary('\x20', '\x11', inet()), binary('\x20', '\x11', "x"),
        binary('\x20', '\x00', "\x20\x01\x01"), binary('\x21', '\x00', "")}) {
    const auto header = read(bytes);
    REQUIRE(header);
    CHECK_FALSE(header->has_addresses);
  }
}

TEST_CASE("version 2 tells what the client agreed on by TLS", "[proxy_protocol]") {
  const std::string about = field('\x21', "TLSv1.3") + field('\x22', "app") + field('\x23', "TLS_AES_128_GCM_SHA256");
  const std::string names = field('\x01', "h2") + field('\x02', "example.com") + field('\x05', "some-id");
  const auto header = read(binary('\x21', '\x11', inet() + names + tls(3, 0, about) + field('\x04', "\0\0")));
  REQUIRE(header);
  CHECK(header->over_tls);
  CHECK(header->tls_version == "TLSv1.3");
  CHECK(header->tls_cipher == "TLS_AES_128_GCM_SHA256");
  CHECK(header->tls_client_name == "app");
  CHECK(header->server_name == "example.com");
  CHECK(header->alpn == "h2");
}

TEST_CASE("a name in a certificate counts only if the certificate was shown and verified", "[proxy_protocol]") {
  const auto name = [](char client, char verify) {
    const auto header = read(binary('\x21', '\x11', inet() + tls(client, verify, field('\x22', "app"))));
    return header ? std::string(header->tls_client_name) : "refused";
  };
  CHECK(name(3, 0) == "app");
  CHECK(name(5, 0) == "app");
  CHECK(name(3, 1).empty());
  CHECK(name(1, 0).empty());
  CHECK(name(2, 0).empty());  // without TLS
}

TEST_CASE("texts that no header field can hold are left out", "[proxy_protocol]") {
  const auto header =
      read(binary('\x21', '\x11', inet() + field('\x02', "a\r\nb") + tls(1, 1, field('\x21', std::string(1, '\0')))));
  REQUIRE(header);
  CHECK(header->server_name.empty());
  CHECK(header->tls_version.empty());
}

TEST_CASE("what is not a header of version 2 is refused", "[proxy_protocol]") {
  for (const std::string& bytes : {
           binary('\x11', '\x11', inet()),                                // version 1
           binary('\x22', '\x11', inet()),                                // an unknown command
           binary('\x21', '\x41', inet()),                                // an unknown family
           binary('\x21', '\x13', inet()),                                // an unknown transport
           binary('\x21', '\x11', inet().substr(0, 11)),                  // cut addresses
           binary('\x21', '\x21', inet()),                                // too few for IPv6
           binary('\x21', '\x11', inet() + "\x04"),                       // a cut field
           binary('\x21', '\x11', inet() + std::string("\x04\0\2x", 4)),  // likewise
           binary('\x21', '\x11', inet() + field('\x20', "abcd")),        // a field about TLS that is too short
           binary('\x21', '\x11', inet() + tls(1, 0, "\x21")),            // a cut field in it
           binary('\x21', '\x11', inet() + field('\x03', "abc")),         // a checksum that is too short
           binary('\x21', '\x11', inet() + field('\x03', "abcd")),        // a wrong one
           kSignature + '\x21' + '\x11' + number(4096 - 15),              // too long, before it came
       }) {
    CAPTURE(bytes);
    CHECK(refusal(bytes) == Reason::proxy_protocol_bad);
  }
  CHECK(read(binary('\x21', '\x11', inet() + field('\x04', std::string(4096 - 16 - 12 - 3, '\0')))));
}

TEST_CASE("a checksum is looked at", "[proxy_protocol]") {
  // Made by another implementation, which has e3069283 for "123456789".
  const std::string right("\xd7\x31\x61\x4d", 4);
  const std::string bytes = binary('\x21', '\x11', inet() + field('\x03', right) + field('\x04', "ab"));
  CHECK(read(bytes));
  std::string other = bytes;
  other.back() ^= 1;
  CHECK(refusal(other) == Reason::proxy_protocol_bad);
}

TEST_CASE("what begins otherwise is no header", "[proxy_protocol]") {
  for (const char* bytes : {"GET / HTTP/1.1\r\n", "P ", "PROXYTCP4 ", "PROXZ", "\r\n\r\nX", "\x16\x03\x01", "\n"}) {
    CAPTURE(bytes);
    CHECK(refusal(bytes) == Reason::proxy_protocol_missing);
  }
}

TEST_CASE("while a header is not complete, all bytes are its, and none behind it are taken", "[proxy_protocol]") {
  const std::string about = tls(1, 1, field('\x21', "TLSv1.3"));
  for (const std::string& whole :
       {std::string("PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n"), std::string("PROXY UNKNOWN\r\n"),
        binary('\x21', '\x11', inet() + about), binary('\x20', '\x00', "")}) {
    ProxyHeader header;
    for (size_t size = 0; size < whole.size(); ++size) {
      const Result<size_t> length = http::read_proxy_header(std::string_view(whole).substr(0, size), header);
      REQUIRE(length);
      CHECK(*length == 0);
    }
    CHECK(*http::read_proxy_header(whole + whole, header) == whole.size());
    CHECK(*http::read_proxy_header(whole + "\r", header) == whole.size());
  }
}

TEST_CASE("what is written is what is read", "[proxy_protocol]") {
  ProxyHeader header;
  header.has_addresses = true;
  header.source = *SocketAddress::parse("192.0.2.7:4711");
  header.destination = *SocketAddress::parse("198.51.100.9:443");
  CHECK(http::write_proxy_header(ProxyVersion::v1, header) == "PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n");
  CHECK(http::write_proxy_header(ProxyVersion::v2, header) == binary('\x21', '\x11', inet()));

  header.over_tls = true;
  header.tls_version = "TLSv1.2";
  header.tls_cipher = "ECDHE-RSA-AES128-GCM-SHA256";
  header.tls_client_name = "app";
  header.server_name = "example.com";
  header.alpn = "http/1.1";
  const std::string written = http::write_proxy_header(ProxyVersion::v2, header);
  const auto back = read(written);
  REQUIRE(back);
  CHECK(back->source == header.source);
  CHECK(back->destination == header.destination);
  CHECK(back->tls_version == header.tls_version);
  CHECK(back->tls_cipher == header.tls_cipher);
  CHECK(back->tls_client_name == "app");
  CHECK(back->server_name == "example.com");
  CHECK(back->alpn == "http/1.1");

  header.tls_client_name = {};
  const auto nobody = read(http::write_proxy_header(ProxyVersion::v2, header));
  REQUIRE(nobody);
  CHECK(nobody->over_tls);
  CHECK(nobody->tls_client_name.empty());
}

TEST_CASE("addresses of two families are written as one", "[proxy_protocol]") {
  ProxyHeader header;
  header.has_addresses = true;
  header.source = *SocketAddress::parse("[2001:db8::7]:4711");
  header.destination = *SocketAddress::parse("127.0.0.1:443");
  CHECK(http::write_proxy_header(ProxyVersion::v1, header) == "PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 4711 443\r\n");
  const auto back = read(http::write_proxy_header(ProxyVersion::v2, header));
  REQUIRE(back);
  CHECK(back->destination.to_string() == "[::ffff:127.0.0.1]:443");
}

TEST_CASE("whose connection it is may be unknown", "[proxy_protocol]") {
  CHECK(http::write_proxy_header(ProxyVersion::v1, {}) == "PROXY UNKNOWN\r\n");
  CHECK(http::write_proxy_header(ProxyVersion::v2, {}) == binary('\x21', '\x00', ""));
  ProxyHeader path;
  path.has_addresses = true;
  path.source = path.destination = *SocketAddress::parse("unix:/run/a");
  CHECK(http::write_proxy_header(ProxyVersion::v1, path) == "PROXY UNKNOWN\r\n");
}
