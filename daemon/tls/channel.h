// Channel: one TLS connection: what a Stream speaks on its socket. Made by a context (client_context.h), owned by its Stream,
// on its loop's thread.
//
// Reads take whole records, as many as there are, through OpenSSL's read-ahead buffer, which exists only while it holds
// something. Small pieces of a write are gathered into one record. A socket that is full keeps the record that OpenSSL has made
// already; hence the rule that the same bytes are offered again.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/reason.h"
#include "event/transport.h"
#include "tls/openssl.h"
#include "tls/socket_bio.h"

namespace sluice::tls {

/// What both sides of a connection agreed on. Of a client's certificate only if it gave one, which was verified.
struct Agreement {
  std::string version;      // "TLSv1.3"
  std::string cipher;       // "TLS_AES_128_GCM_SHA256"
  std::string server_name;  // SNI, as the client wrote it when the session began
  std::string alpn;
  bool resumed = false;
  std::string client_name;     // the common name of its subject, "app"
  std::string client_subject;  // RFC 2253, "CN=app,O=Example"
  std::string
      client_names;  // of its subjectAltName: "DNS:app.example.com, URI:spiffe://example.com/app"; plain ones only
  std::string client_fingerprint;  // SHA-256, in lower-case hexadecimal digits
};

class Channel final : public event::Transport {
 public:
  /// `ssl` has its options, but no socket. `context` is what it was made by, and lives as long.
  Channel(SslPtr ssl, int fd, Need first, std::shared_ptr<const void> context = nullptr);

  event::IoResult handshake() override;
  event::IoResult read(std::span<char> into) override;
  event::IoResult write(std::span<const iovec> pieces) override;
  void end_writing() override;
  [[nodiscard]] bool was_refused() const override { return refused_; }
  [[nodiscard]] std::string_view protocol() const override;
  [[nodiscard]] bool resumed() const override { return SSL_session_reused(ssl_.get()) == 1; }
  [[nodiscard]] bool has_pending() const override { return pending_; }
  [[nodiscard]] const char* failure() const override { return failure_; }

  /// Once the handshake is done.
  [[nodiscard]] Agreement agreement() const;
  /// Why a client's handshake with us failed: a reason of its own for what users can do something about.
  [[nodiscard]] Reason handshake_failure() const { return handshake_failure_; }

 private:
  void begin();
  /// What a step that did not succeed has come to; `needs` is set if it can go on later.
  event::IoResult concluded(int returned, Need& needs);
  event::IoResult failed(const char* why);
  event::IoResult held_up();

  std::shared_ptr<const void> context_;
  SocketState socket_;
  SslPtr ssl_;
  const char* failure_ = "";
  Reason handshake_failure_ = Reason::none;
  event::IoStatus end_ = event::IoStatus::ok;  // what read() says from now on: eof or error
  bool broken_ = false;                        // nothing may be sent any more
  bool refused_ = false;                       // by an alert of the peer's
  bool pending_ = false;
};

}  // namespace sluice::tls
