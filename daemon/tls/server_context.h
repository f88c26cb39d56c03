// ServerContext: how a listener speaks TLS: who it is for which name, whom of its clients it asks who they are, and what it
// agrees to. Made when a configuration is compiled; immutable and shared by all threads; its connections keep it alive.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tls/certificate.h"
#include "tls/channel.h"
#include "tls/ticket_keys.h"

namespace sluice::tls {

enum class ClientCertificates : uint8_t { off, optional, required };

class ServerContext : public std::enable_shared_from_this<ServerContext> {
 public:
  // Mozilla's intermediate profile, version 5.7 (wiki.mozilla.org/Security/Server_Side_TLS), for TLS 1.2.
  static constexpr const char* kCiphers =
      "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-"
      "SHA384:"
      "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:"
      "DHE-RSA-CHACHA20-POLY1305";
  // And for TLS 1.3. OpenSSL has AES-256 first, whose SHA-384 makes handshakes dearer.
  static constexpr const char* kCiphersuites =
      "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
  // OpenSSL would take those of finite fields too: a client that names ffdhe8192 makes us calculate for 100 ms (CVE-2002-20001).
  static constexpr const char* kGroups = "X25519:P-256:P-384";

  // Early data that a client may send; one request, if it is not used to make us remember much.
  static constexpr uint32_t kEarlyBytes = 16 * 1024;

  struct Options {
    std::vector<std::shared_ptr<const Certificate>> certificates;  // at least one; the first is the default
    bool tls12 = true;                                             // besides TLS 1.3
    bool tls13 = true;
    std::string ciphers = kCiphers;  // of TLS 1.2, by OpenSSL's names
    std::vector<std::string> alpn;   // what we speak, best first
    ClientCertificates client_certificates = ClientCertificates::off;
    std::string client_ca_pem;            // whose client certificates are good, if we ask for them
    std::shared_ptr<TicketKeys> tickets;  // nullptr: no session is resumed
    bool early_data = false;              // of who resumes one; not if clients are asked who they are
    std::string name;                     // the listener's: sessions of another one are not resumed here
  };
  /// nullptr, with `failure`, if something cannot be used.
  [[nodiscard]] static std::shared_ptr<const ServerContext> make(Options options, Failure& failure);

  /// For one connection; `fd` belongs to the Stream.
  [[nodiscard]] std::unique_ptr<Channel> accept(int fd) const;

  /// What is offered to a client that asks for `name` (any case); the default if none is for it, or the name is empty.
  using Choice = std::vector<std::shared_ptr<const Certificate>>;
  [[nodiscard]] const Choice& choice_for(std::string_view name) const;

 private:
  explicit ServerContext(Options options);
  bool configure(Failure& failure);
  [[nodiscard]] bool ask_clients(Failure& failure);
  void use_tickets();
  static int on_certificate(SSL* ssl, void* self);
  static int on_status(SSL* ssl, void* self);
  static int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                     unsigned in_size, void* self);

  Options options_;
  std::string alpn_;  // as on the wire
  Choice default_;
  std::unordered_map<std::string, Choice> exact_;
  std::unordered_map<std::string, Choice> wildcard_;  // "*.example.com" by "example.com"
  SslContextPtr context_;
};

}  // namespace sluice::tls
