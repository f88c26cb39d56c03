// The PROXY protocol (HAProxy's proxy-protocol.txt of 2020, versions 1 and 2): a header before the first byte of a connection, by
// which a load balancer tells whose connection it is. Bytes in, values out, no I/O.
#pragma once

#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"

namespace sluice::http {

enum class ProxyVersion : uint8_t { off, v1, v2 };

/// Texts are views into the bytes that were read. What the header leaves out, or version 1 cannot say, is empty.
struct ProxyHeader {
  bool has_addresses = false;  // false: it is the sender's own connection, or whose it is is not known
  SocketAddress source;        // the client's
  SocketAddress destination;   // what the client connected to
  bool over_tls = false;       // the client speaks TLS with the sender
  std::string_view tls_version;
  std::string_view tls_cipher;
  std::string_view tls_client_name;  // the common name in the client's certificate, if that was verified
  std::string_view server_name;
  std::string_view alpn;
};

/// A longer one is refused; what is known to be sent is far below.
inline constexpr size_t kMaxProxyHeaderBytes = 4096;

/// Reads the header at the front of `bytes` and returns its length; 0 if more of it has to come: then all of `bytes` are its.
/// Errors: proxy_protocol_missing (these bytes begin none), proxy_protocol_bad.
[[nodiscard]] Result<size_t> read_proxy_header(std::string_view bytes, ProxyHeader& header);

/// `version` is not off. Only version 2 tells more than addresses.
[[nodiscard]] std::string write_proxy_header(ProxyVersion version, const ProxyHeader& header);

}  // namespace sluice::http
