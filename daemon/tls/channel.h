// Channel: one TLS connection: what a Stream speaks on its socket. Made by a context (client_context.h), owned by its Stream,
// on its loop's thread.
//
// Reads take whole records, as many as there are, through OpenSSL's read-ahead buffer, which exists only while it holds
// something. Small pieces of a write are gathered into one record. A socket that is full keeps the record that OpenSSL has made
// already; hence the rule that the same bytes are offered again.
//
// A server's context may let clients that come back send early data (RFC 8446 §2.3): then handshake() is over once they may, and the
// rest of it happens in read().
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

  /// What the last read() brought was early data: somebody may have recorded it and sent it again. False once the handshake is done.
  [[nodiscard]] bool is_early() const { return early_ == Early::reading || early_ == Early::finishing; }
  /// Once the handshake is done.
  [[nodiscard]] Agreement agreement() const;
  /// What became of a client's early data: SSL_EARLY_DATA_NOT_SENT, _ACCEPTED or _REJECTED.
  [[nodiscard]] int early_data_status() const { return SSL_get_early_data_status(ssl_.get()); }
  /// Why a client's handshake with us failed: a reason of its own for what users can do something about.
  [[nodiscard]] Reason handshake_failure() const { return handshake_failure_; }

 private:
  // What OpenSSL wants to be called with while early data may come (SSL_read_early_data(3)), one after the other.
  enum class Early : uint8_t {
    expected,   // SSL_read_early_data()
    reading,    // likewise, and SSL_write_early_data()
    finishing,  // SSL_do_handshake(), and SSL_write_early_data()
    over,       // or never allowed: as if there were no such thing
  };

  void begin();
  int accept();
  event::IoResult read_early(std::span<char> into);
  event::IoResult write_record(std::string_view record);
  /// What a step that did not succeed has come to; `needs` is set if it can go on later.
  event::IoResult concluded(int returned, Need& needs);
  /// Likewise for a step of the handshake.
  event::IoResult concluded_handshake(int returned, Need& needs);
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
  Early early_ = Early::over;
  size_t held_bytes_ = 0;  // of what write() was offered: they are in the record that socket_ holds
};

}  // namespace sluice::tls
