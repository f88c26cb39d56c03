// TicketKeys: what session tickets (RFC 5077; RFC 8446 §4.6.1) are sealed with, so that a client that comes back spares both sides the
// signature. Either the process's own, which are made anew every kRotation, those before being good for as long again; or
// those of files that a fleet of gateways shares, whoever rotates them. Any thread.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tls/pem.h"

namespace sluice::tls {

class TicketKeys {
 public:
  static constexpr std::chrono::hours kRotation{12};
  static constexpr size_t kFileBytes = 80;  // as nginx and HAProxy have it: name, HMAC key, AES key

  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> hmac;
    std::array<unsigned char, 32> aes;
  };
  /// A key to open a ticket with; `current`: new tickets are sealed with it too.
  struct Found {
    Key key;
    bool current;
  };

  /// Its own keys.
  explicit TicketKeys(std::function<MonoTime()> now = MonoClock::now);
  /// Of files of kFileBytes each: the first one seals. nullptr, with `failure`, if one is not.
  [[nodiscard]] static std::shared_ptr<TicketKeys> of_files(const std::vector<std::string>& contents, Failure& failure);
  /// Those of the process, so that a reload ends no session.
  [[nodiscard]] static const std::shared_ptr<TicketKeys>& own();

  [[nodiscard]] Key current();
  [[nodiscard]] std::optional<Found> find(const unsigned char* name);

 private:
  explicit TicketKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}
  void rotate_if_due();

  std::function<MonoTime()> now_;  // null: the keys are of files
  std::mutex lock_;
  std::vector<Key> keys_;  // the current one first
  MonoTime made_;          // when the current one was
};

/// For SSL_CTX_set_tlsext_ticket_key_evp_cb().
int seal_or_open(TicketKeys& keys, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                 bool seal);

}  // namespace sluice::tls
