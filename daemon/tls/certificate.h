// Certificate: who a listener is to clients that ask for one of its names: a certificate, those between it and its CA, and its key.
// Made when a configuration is compiled, when all of it is checked; what a handshake needs is unpacked by the first one that
// does, so that thousands that nobody asks for cost a few kilobytes each. Immutable to its users; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tls/pem.h"

namespace sluice::tls {

class Certificate {
 public:
  struct Files {
    std::string certificate_pem;  // ours first
    std::string key_pem;
    std::string ocsp_der;  // an OCSP response (RFC 6960) to be stapled; empty: none

    friend bool operator==(const Files&, const Files&) = default;
  };
  /// nullptr, with `failure`, if something cannot be used.
  [[nodiscard]] static std::shared_ptr<const Certificate> make(Files files, Failure& failure);
  ~Certificate();
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  [[nodiscard]] const Files& files() const { return files_; }
  /// What it is for, in lower case: the DNS names of its subjectAltName, "*." in front of some; its CN if it has none.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  /// Seconds since the epoch.
  [[nodiscard]] int64_t expires() const { return expires_; }

  /// Kind of its key: two of one kind cannot stand side by side.
  [[nodiscard]] int key_type() const { return key_type_; }
  /// The OCSP response, unless its time is over; else empty.
  [[nodiscard]] std::string_view ocsp_at(int64_t seconds) const {
    return seconds < ocsp_until_ ? std::string_view(files_.ocsp_der) : std::string_view();
  }

  /// Offers it in this handshake, beside others of another kind of key. False if memory is short.
  [[nodiscard]] bool offer(SSL* ssl) const;
  /// The certificate that was offered as `leaf` was this one.
  [[nodiscard]] bool is(const X509* leaf) const {
    return leaf != nullptr && unpacked_ && leaf == unpacked_->leaf.get();
  }

 private:
  explicit Certificate(Files files) : files_(std::move(files)) {}
  struct Unpacked {
    CertificatePtr leaf;
    ChainPtr chain;
    KeyPtr key;

    [[nodiscard]] bool offer(SSL* ssl) const;
  };
  [[nodiscard]] static std::optional<Unpacked> unpack(const Files& files, Failure& failure);

  Files files_;
  std::vector<std::string> names_;
  int64_t expires_ = 0;
  int64_t ocsp_until_ = 0;
  int key_type_ = 0;
  // Of the first handshake:
  mutable std::once_flag was_unpacked_;
  mutable std::optional<Unpacked> unpacked_;
};

}  // namespace sluice::tls
