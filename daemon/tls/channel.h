// Channel: one TLS connection: what a Stream speaks on its socket. Made by a context (client_context.h), owned by its Stream,
// on its loop's thread.
//
// Reads take whole records, as many as there are, through OpenSSL's read-ahead buffer, which exists only while it holds
// something. Small pieces of a write are gathered into one record. A socket that is full keeps the record that OpenSSL has made
// already; hence the rule that the same bytes are offered again.
#pragma once

#include "event/transport.h"
#include "tls/openssl.h"
#include "tls/socket_bio.h"

namespace sluice::tls {

class Channel final : public event::Transport {
 public:
  /// `ssl` has its options, but no socket.
  Channel(SslPtr ssl, int fd, Need first);

  event::IoResult handshake() override;
  event::IoResult read(std::span<char> into) override;
  event::IoResult write(std::span<const iovec> pieces) override;
  void end_writing() override;
  [[nodiscard]] bool has_pending() const override { return pending_; }
  [[nodiscard]] const char* failure() const override { return failure_; }

 private:
  void begin();
  /// What a step that did not succeed has come to; `needs` is set if it can go on later.
  event::IoResult concluded(int returned, Need& needs);
  event::IoResult failed(const char* why);

  SocketState socket_;
  SslPtr ssl_;
  const char* failure_ = "";
  event::IoStatus end_ = event::IoStatus::ok;  // what read() says from now on: eof or error
  bool broken_ = false;                        // nothing may be sent any more
  bool pending_ = false;
};

}  // namespace sluice::tls
