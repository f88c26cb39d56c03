// Certificates for the servers of this folder's tests, and what makes such a server speak TLS.
#pragma once

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "../tls/certificates.h"
#include "redis_server.h"
#include "store/redis_options.h"

namespace sluice::store::test {

/// One authority for all tests of a run, and a certificate of 127.0.0.1.
class TlsFiles {
 public:
  static const TlsFiles& get() {
    static const TlsFiles made;
    return made;
  }
  /// Options of a redis-server, or a sentinel, that speaks TLS on that port too.
  [[nodiscard]] std::vector<std::string> options(uint16_t port) const {
    return {"--tls-port",         std::to_string(port), "--tls-ca-cert-file", folder_ / "ca.pem",   "--tls-cert-file",
            folder_ / "cert.pem", "--tls-key-file",     folder_ / "key.pem",  "--tls-auth-clients", "no"};
  }
  /// For a store that believes such servers.
  [[nodiscard]] std::shared_ptr<const tls::ClientContext> context() const {
    tls::ClientContext::Failure failure;
    auto made = tls::ClientContext::make({.ca_pem = authority_.certificate_pem()}, failure);
    REQUIRE(made != nullptr);
    return made;
  }

 private:
  TlsFiles() {
    const auto server =
        tls::test::make_identity("server", {.alternative_names = "IP:127.0.0.1", .signer = &authority_});
    std::ofstream(folder_ / "ca.pem") << authority_.certificate_pem();
    std::ofstream(folder_ / "cert.pem") << server.certificate_pem();
    std::ofstream(folder_ / "key.pem") << server.key_pem();
  }

  TestFolder folder_;
  tls::test::Identity authority_ = tls::test::make_authority("authority");
};

inline SocketAddress loopback(uint16_t port) { return *SocketAddress::parse("127.0.0.1:" + std::to_string(port)); }

}  // namespace sluice::store::test
