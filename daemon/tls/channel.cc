#include "tls/channel.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/assert.h"

namespace sluice::tls {

using event::IoResult;
using event::IoStatus;

namespace {

constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;
constexpr const char* kClosed = "the connection was closed without a TLS close_notify";

/// The bytes of an iovec list from some position on, a record at a time.
class Gatherer {
 public:
  explicit Gatherer(std::span<const iovec> pieces) : pieces_(pieces) { skip_empty(); }

  [[nodiscard]] bool done() const { return pieces_.empty(); }
  /// As much as a record holds: where it stands, if that is one place, else in `scratch`.
  [[nodiscard]] std::string_view record(std::span<char> scratch) const {
    const char* first = static_cast<const char*>(pieces_.front().iov_base) + offset_;
    const size_t first_bytes = pieces_.front().iov_len - offset_;
    if (first_bytes >= kRecordBytes || pieces_.size() == 1) return {first, std::min(first_bytes, kRecordBytes)};
    size_t gathered = 0;
    size_t offset = offset_;
    for (const iovec& piece : pieces_) {
      const size_t bytes = std::min(piece.iov_len - offset, scratch.size() - gathered);
      if (bytes > 0) std::memcpy(scratch.data() + gathered, static_cast<const char*>(piece.iov_base) + offset, bytes);
      gathered += bytes;
      offset = 0;
      if (gathered == scratch.size()) break;
    }
    return {scratch.data(), gathered};
  }
  void advance(size_t bytes) {
    while (bytes > 0) {
      const size_t step = std::min(bytes, pieces_.front().iov_len - offset_);
      bytes -= step;
      offset_ += step;
      skip_empty();
    }
  }

 private:
  void skip_empty() {
    while (!pieces_.empty() && offset_ == pieces_.front().iov_len) {
      pieces_ = pieces_.subspan(1);
      offset_ = 0;
    }
  }

  std::span<const iovec> pieces_;
  size_t offset_ = 0;  // in the first
};

const char* text_of(unsigned long error) {
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "an unknown error of TLS";
}

// Alerts that a client sends come as reasons of their own (RFC 8446 §6.2).
Reason reason_of(int error) {
  switch (error) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return Reason::tls_closed;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER: return Reason::tls_not_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW: return Reason::tls_version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE: return Reason::tls_no_cipher;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return Reason::tls_client_certificate_missing;
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return Reason::tls_client_certificate_refused;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: return Reason::tls_distrusted;
    default: return Reason::tls_failed;
  }
}

// An alert that came, by which a server refuses what we showed of ourselves; OpenSSL's numbers of those begin at an offset.
bool is_refusal(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return false;
  switch (ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET) {
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_DECRYPT_ERROR:
    case TLS13_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

// Whoever reads the list splits it at ", ": a name must not look like two (CVE-2021-44532 of Node.js was that).
bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char c) { return c > ' ' && c < 0x7f && c != ',' && c != '"' && c != '\\'; });
}

// DNS names, URIs and mail addresses; what is not plain is left out.
std::string names_in(const X509* client) {
  const std::unique_ptr<GENERAL_NAMES, FreeNames> all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(client, NID_subject_alt_name, nullptr, nullptr)));
  std::string text;
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    const char* const kind = name->type == GEN_DNS     ? "DNS:"
                             : name->type == GEN_URI   ? "URI:"
                             : name->type == GEN_EMAIL ? "email:"
                                                       : nullptr;
    if (kind == nullptr) continue;
    const std::string_view value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.ia5)),
                                 static_cast<size_t>(ASN1_STRING_length(name->d.ia5)));
    if (is_plain(value)) ((text += text.empty() ? "" : ", ") += kind) += value;
  }
  return text;
}

std::string common_name_in(const X509_NAME* subject) {
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  unsigned char* text = nullptr;
  const int size = at < 0 ? -1 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(text);
  return name;
}

void describe(X509* client, Agreement& agreed) {
  const BioPtr subject(BIO_new(BIO_s_mem()));
  constexpr unsigned long kForm = XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB;
  const int written = X509_NAME_print_ex(subject.get(), X509_get_subject_name(client), 0, kForm);
  if (written >= 0) agreed.client_subject = text_of(subject.get());
  agreed.client_name = common_name_in(X509_get_subject_name(client));
  agreed.client_names = names_in(client);
  unsigned char digest[32];
  unsigned size = 0;
  if (X509_digest(client, EVP_sha256(), digest, &size) != 1) return;
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const unsigned char byte : std::span(digest, size)) {
    (agreed.client_fingerprint += kHex[byte >> 4]) += kHex[byte & 15];
  }
}

}  // namespace

Channel::Channel(SslPtr ssl, int fd, Need first, std::shared_ptr<const void> context)
    : Transport(first), context_(std::move(context)), ssl_(std::move(ssl)) {
  socket_.fd = fd;
  BIO* bio = make_socket_bio(socket_).release();
  SL_ASSERT(bio != nullptr);
  SSL_set_bio(ssl_.get(), bio, bio);  // which owns it now
  if (SSL_get_max_early_data(ssl_.get()) > 0) early_ = Early::expected;
}

void Channel::begin() {
  if (ERR_peek_error() != 0) ERR_clear_error();  // which takes 400 instructions
  socket_.drained = false;
}

IoResult Channel::failed(const char* why) {
  failure_ = why;
  broken_ = true;
  return {IoStatus::error};
}

IoResult Channel::concluded(int returned, Need& needs) {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ: needs = Need::readable; return {IoStatus::again};
    case SSL_ERROR_WANT_WRITE: needs = Need::writable; return {IoStatus::again};
    case SSL_ERROR_ZERO_RETURN: return {IoStatus::eof};
    case SSL_ERROR_SYSCALL: return failed(socket_.error != 0 ? strerrordesc_np(socket_.error) : kClosed);
    default: break;
  }
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  handshake_failure_ = reason_of(reason);
  const long verified = SSL_get_verify_result(ssl_.get());
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) return failed(kClosed);
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
    return failed(X509_verify_cert_error_string(verified));
  }
  refused_ = is_refusal(error);
  return failed(text_of(error));
}

IoResult Channel::concluded_handshake(int returned, Need& needs) {
  const IoResult result = concluded(returned, needs);
  const bool ended = result.status == IoStatus::eof || socket_.ended;
  if (ended || (result.status == IoStatus::error && handshake_failure_ == Reason::none)) {
    handshake_failure_ = Reason::tls_closed;
  }
  return ended ? failed("the connection was closed in the middle of it") : result;
}

// Reads none of the early data. If there may be some the client gets its answers before its Finished has come.
int Channel::accept() {
  if (is_early()) return 1;  // its flight has not left yet
  if (early_ != Early::expected) return SSL_do_handshake(ssl_.get());
  size_t none = 0;
  const int step = SSL_read_early_data(ssl_.get(), nullptr, 0, &none);
  if (step == SSL_READ_EARLY_DATA_ERROR && SSL_in_init(ssl_.get()) == 1) return 0;  // not that far
  const bool accepted = early_data_status() == SSL_EARLY_DATA_ACCEPTED;
  early_ = accepted ? Early::reading : Early::over;
  return accepted ? 1 : SSL_do_handshake(ssl_.get());
}

// A flight leaves in one call, when the step is over; so does an alert. Tickets, which a server of TLS 1.3 sends behind its last
// flight, need not leave before the first answer does, and leave with it.
IoResult Channel::handshake() {
  begin();
  if (!send_held(socket_)) return held_up();
  socket_.holds = true;
  const int done = accept();
  socket_.holds = false;
  const bool only_tickets = done == 1 && SSL_is_server(ssl_.get()) == 1 && SSL_version(ssl_.get()) == TLS1_3_VERSION;
  if (done != 1) {
    const IoResult result = concluded_handshake(done, handshake_needs_);
    return !send_held(socket_) && result.status == IoStatus::again ? held_up() : result;
  }
  if ((!only_tickets || is_early()) && !send_held(socket_)) return held_up();
  pending_ = SSL_has_pending(ssl_.get()) == 1;
  return {IoStatus::ok};
}

// The socket takes no more of a flight.
IoResult Channel::held_up() {
  if (socket_.error == 0) {
    handshake_needs_ = Need::writable;
    return {IoStatus::again};
  }
  handshake_failure_ = Reason::tls_closed;
  return failed(strerrordesc_np(socket_.error));
}

// An end that comes after bytes is told by the next call, and the socket may have nothing to say by then.
IoResult Channel::read(std::span<char> into) {
  if (end_ != IoStatus::ok) {
    pending_ = false;
    return {end_};
  }
  begin();
  if (early_ != Early::over) [[unlikely]] {
    const IoResult early = read_early(into);
    if (early.bytes > 0 || early.status != IoStatus::ok) return early;
  }
  size_t got = 0;
  while (got < into.size()) {
    size_t bytes = 0;
    const int done = SSL_read_ex(ssl_.get(), into.data() + got, into.size() - got, &bytes);
    if (done == 1) {
      read_needs_ = Need::readable;
      got += bytes;
      if (socket_.drained && SSL_has_pending(ssl_.get()) == 0) break;  // spares the call that would only say so
      continue;
    }
    const IoResult result = concluded(done, read_needs_);
    if (result.status != IoStatus::again) end_ = result.status;
    pending_ = got > 0 && end_ != IoStatus::ok;
    return got > 0 ? IoResult{IoStatus::ok, got} : result;
  }
  pending_ = SSL_has_pending(ssl_.get()) == 1;
  return {IoStatus::ok, got};
}

// Ok without bytes: the handshake is done, which may be told by a call that finds nothing more to read. Tickets leave at once, since
// the answer may have done so already.
IoResult Channel::read_early(std::span<char> into) {
  size_t got = 0;
  int step = SSL_READ_EARLY_DATA_SUCCESS;
  socket_.holds = true;
  while (early_ == Early::reading && step == SSL_READ_EARLY_DATA_SUCCESS && got < into.size()) {
    size_t bytes = 0;
    step = SSL_read_early_data(ssl_.get(), into.data() + got, into.size() - got, &bytes);
    got += bytes;
    if (step == SSL_READ_EARLY_DATA_FINISH) early_ = Early::finishing;
  }
  int done = step == SSL_READ_EARLY_DATA_ERROR ? 0 : 1;
  if (done == 1 && got == 0) {
    done = SSL_do_handshake(ssl_.get());
    if (done == 1) early_ = Early::over;
  }
  socket_.holds = false;
  IoResult result{IoStatus::ok, got};
  if (done != 1) {
    const IoResult conclusion = concluded_handshake(done, read_needs_);
    if (conclusion.status != IoStatus::again) end_ = conclusion.status;
    if (got == 0) result = conclusion;
  }
  std::ignore = send_held(socket_);
  pending_ = got > 0 && (done == 1 || end_ != IoStatus::ok);  // half a record is for the socket to complete
  return result;
}

// While the handshake lasts OpenSSL may not be left with half of our record: it has tickets to write itself, however long the
// client takes to read. So the socket's state holds the other half.
IoResult Channel::write_record(std::string_view record) {
  size_t bytes = 0;
  if (early_ == Early::over && held_bytes_ == 0) [[likely]] {
    const int done = SSL_write_ex(ssl_.get(), record.data(), record.size(), &bytes);
    return done == 1 ? IoResult{IoStatus::ok, bytes} : concluded(done, write_needs_);
  }
  if (held_bytes_ == 0) {
    socket_.holds = true;
    const int done = SSL_write_early_data(ssl_.get(), record.data(), record.size(), &held_bytes_);
    socket_.holds = false;
    if (done != 1) return concluded(done, write_needs_);
  }
  if (send_held(socket_)) return {IoStatus::ok, std::exchange(held_bytes_, 0)};
  write_needs_ = Need::writable;
  return socket_.error == 0 ? IoResult{IoStatus::again} : failed(strerrordesc_np(socket_.error));
}

IoResult Channel::write(std::span<const iovec> pieces) {
  if (broken_) return {IoStatus::error};
  begin();
  char scratch[kRecordBytes];
  size_t sent = 0;
  Gatherer rest(pieces);
  while (!rest.done()) {
    const IoResult result = write_record(rest.record(scratch));
    if (result.status != IoStatus::ok) return sent > 0 ? IoResult{IoStatus::ok, sent} : result;
    write_needs_ = Need::writable;
    sent += result.bytes;
    rest.advance(result.bytes);
  }
  return {IoStatus::ok, sent};
}

void Channel::end_writing() {
  if (std::exchange(broken_, true) || (SSL_is_init_finished(ssl_.get()) != 1 && early_ != Early::reading)) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

std::string_view Channel::protocol() const {
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  return {reinterpret_cast<const char*>(protocol), size};
}

Agreement Channel::agreement() const {
  SSL* ssl = ssl_.get();
  Agreement agreed{.version = SSL_get_version(ssl), .cipher = SSL_get_cipher_name(ssl)};
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) agreed.server_name = name;
  agreed.alpn = protocol();
  agreed.resumed = SSL_session_reused(ssl) == 1;
  if (X509* client = SSL_get0_peer_certificate(ssl)) describe(client, agreed);
  return agreed;
}

}  // namespace sluice::tls
