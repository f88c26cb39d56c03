// A TLS server that a test drives by hand: OpenSSL at the other end of a pair of sockets, on the test's own thread.
#pragma once

#include <openssl/err.h>
#include <sys/socket.h>

#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "certificates.h"

namespace sluice::tls::test {

class Server {
 public:
  Server(int fd, const Identity& identity) : fd_(fd), context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_use_certificate(context_.get(), identity.certificate.get());
    SSL_CTX_use_PrivateKey(context_.get(), identity.key.get());
    SSL_CTX_set_mode(context_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
  /// For what the test sets before the first pump().
  [[nodiscard]] SSL_CTX* context() { return context_.get(); }
  [[nodiscard]] SSL* ssl() {
    if (ssl_ == nullptr) {
      ssl_.reset(SSL_new(context_.get()));
      SSL_set_fd(ssl_.get(), fd_.get());
      SSL_set_accept_state(ssl_.get());
      SSL_set_msg_callback(ssl_.get(), [](int sent, int, int type, const void* bytes, size_t, SSL*, void* self) {
        const bool data =
            type == SSL3_RT_HEADER && static_cast<const unsigned char*>(bytes)[0] == SSL3_RT_APPLICATION_DATA;
        if (sent == 0 && data) ++static_cast<Server*>(self)->records;
      });
      SSL_set_msg_callback_arg(ssl_.get(), this);
    }
    return ssl_.get();
  }
  /// Does what can be done now: the handshake, then reads up to `read_at_most` bytes and writes what is left of `to_send`.
  void pump(size_t read_at_most = SIZE_MAX) {
    ERR_clear_error();
    if (ended) return;
    if (SSL_is_init_finished(ssl()) != 1 && !note(SSL_do_handshake(ssl()))) return;
    established = true;
    char buffer[8192];
    size_t bytes = 0;
    while (read_at_most > 0) {
      if (!note(SSL_read_ex(ssl(), buffer, std::min(sizeof buffer, read_at_most), &bytes))) break;
      got.append(buffer, bytes);
      read_at_most -= bytes;
    }
    while (!to_send.empty() && !ended) {
      if (!note(SSL_write_ex(ssl(), to_send.data(), to_send.size(), &bytes))) break;
      to_send.erase(0, bytes);
    }
  }
  /// Ends the connection: with a close_notify or without.
  void close(bool politely) {
    if (politely) SSL_shutdown(ssl());
    fd_.reset();
    ended = true;
  }

  std::string to_send;
  std::string got;
  std::string error;  // what ended it, if it was no close_notify
  bool established = false;
  bool ended = false;
  int records = 0;  // with application data that came, as they stand on the wire

 private:
  bool note(int returned) {
    if (returned == 1) return true;
    const int kind = SSL_get_error(ssl(), returned);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return false;
    ended = true;
    const unsigned long why = ERR_peek_error();
    if (kind != SSL_ERROR_ZERO_RETURN) error = why != 0 ? ERR_reason_error_string(why) : "system";
    return false;
  }

  UniqueFd fd_;
  SslContextPtr context_;
  SslPtr ssl_;
};

}  // namespace sluice::tls::test
