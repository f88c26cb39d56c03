// ClientContext: how we speak TLS to servers of one kind: whom we trust, and who we are. Made when a configuration is compiled;
// immutable and shared by all threads; connections that were made by it may outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "event/transport.h"
#include "tls/client_sessions.h"
#include "tls/openssl.h"
#include "tls/pem.h"

namespace sluice::tls {

class ClientContext {
 public:
  struct Options {
    std::string ca_pem;             // whom we trust; empty: whom the system trusts
    std::string certificate_pem;    // ours, and those between it and its CA; empty: none
    std::string key_pem;            // of our certificate
    bool verify = true;             // false: any certificate will do
    std::vector<std::string> alpn;  // what we offer to speak, best first; empty: that is not talked about
  };
  using Failure = tls::Failure;

  /// nullptr, with `failure`, if something cannot be used.
  [[nodiscard]] static std::shared_ptr<const ClientContext> make(const Options& options, Failure& failure);

  /// The file with the certificates of those whom the system trusts.
  [[nodiscard]] static std::string system_ca_file();

  /// For one connection, to the server that its certificate must call `name`: a host name, which is sent as SNI too, or an IP
  /// address. `fd` belongs to the Stream. `sessions` are of that server, or nullptr: a whole handshake each time.
  [[nodiscard]] std::unique_ptr<event::Transport> connect(int fd, const std::string& name,
                                                          ClientSessions* sessions = nullptr) const;

 private:
  explicit ClientContext(SslContextPtr context) : context_(std::move(context)) {}

  SslContextPtr context_;
};

}  // namespace sluice::tls
