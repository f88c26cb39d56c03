// Claim: one request's claim to be the one that carries out a key, and what becomes of it in the store. It may outlive its
// exchange, to write the end of the story. Claims, a worker's state, owns it; worker thread only.
//
// Phase      what is awaited                        leaves by
// idle       -                                      ask(), take_over() -> asking; proceed_unprotected() -> mine
// asking     the store's answer to the claim        it is ours -> mine; another's, or surely not stored -> idle; timeout -> unclear
// unclear    -                                      whether the store has our claim is unknown: leave() -> settling (release)
// mine       the upstream; the lease is renewed     complete(), give_up(), release() -> settling
// settling   the store's answer to the end          answered, or tried often enough -> over
// over       leave()
//
// The store keeps a claim for the whole ttl, whatever became of its owner: it is the deadline in it that says until when somebody is
// at work on it. Only the token's owner can change it, or whoever takes it over exactly as he has read it.
#pragma once

#include <list>
#include <string>

#include "idempotency/idempotency_config.h"
#include "idempotency/record.h"
#include "plugins/sdk.hpp"

namespace sluice::idempotency {

class Claims;

class Claim {
 public:
  enum class Answer : uint8_t { mine, taken, not_stored, unclear };
  /// Whose claim it is.
  class User {
   public:
    /// Once for each ask() and take_over(), perhaps from inside it. `detail`: taken: the value that is there; failed: why.
    virtual void on_claimed(Answer answer, std::string_view detail) = 0;
    /// Once for complete(), give_up() or release(), perhaps from inside it: the store knows, or does not answer.
    virtual void on_settled() = 0;

   protected:
    ~User() = default;
  };

  explicit Claim(Claims& claims);

  /// The store's key is `prefix` and `place`.
  void begin(User& user, std::string_view prefix, std::string_view place, const Digest& head);
  void ask();
  /// Asks for the claim of somebody who has not come back: `there` is its value.
  void take_over(std::string_view there);
  /// Goes on as if it were ours.
  void proceed_unprotected();

  // The result, bit by bit.
  void begin_result(uint16_t status);
  void add_field(std::string_view name, std::string_view value);
  void add_content(std::string_view piece) { value_.append(piece); }
  [[nodiscard]] size_t field_bytes() const { return field_bytes_; }
  [[nodiscard]] size_t content_bytes() const { return value_.size() - kRecordBytes - field_bytes_; }

  /// It was carried out, and this was the result; or it was too large (State::too_large).
  void complete(State state, const std::optional<Digest>& body);
  /// The upstream was reached, and nobody knows what became of it.
  void give_up();
  /// It was surely not carried out: the next request with this key is the first one.
  void release();
  /// The user goes. What is not settled yet will be: by give_up() or release().
  void leave(bool upstream_reached);

  /// Keeps a value that is there, until leave().
  std::string_view keep(std::string_view found) { return value_ = found; }
  /// For the body of the request.
  [[nodiscard]] const Sha256& sha256() const { return sha256_; }

 private:
  friend class Claims;
  enum class Phase : uint8_t { idle, asking, unclear, mine, settling, over };

  void on_answer(const StoreResult& result);
  void on_renewed(const StoreResult& result);
  void on_time();
  void on_asked(const StoreResult& result);
  void on_written(const StoreResult& result);
  void become_mine();
  void tell(Answer answer, std::string_view detail);
  void settle(bool removes);
  void drop_result();
  void write_end();
  void end(bool stored);
  void renew();
  void watch_lease();
  bool try_again(bool store_failed);
  [[nodiscard]] bool is_own(std::string_view value) const;
  [[nodiscard]] std::string_view token() const { return {record_.token.data(), record_.token.size()}; }
  /// What the store's value begins with as long as this claim is no more than claimed.
  [[nodiscard]] std::string_view claimed_prefix();
  std::string_view claim_value();
  [[nodiscard]] StoreCommand put(std::string_view value) const;
  [[nodiscard]] StoreCommand replace(std::string_view expected, std::string_view value) const;

  using Call = StoreCall<Claim, &Claim::on_answer>;
  using Renewal = StoreCall<Claim, &Claim::on_renewed>;

  Claims& claims_;
  std::list<Claim>::iterator self_;
  User* user_ = nullptr;
  Call call_;
  Renewal renewal_;
  TimerCall<Claim, &Claim::on_time> timer_;
  Sha256 sha256_;
  std::string key_;
  Record record_;
  size_t field_bytes_ = 0;
  std::string claim_value_;
  std::string value_;  // of the result
  Phase phase_ = Phase::idle;
  unsigned attempts_ = 0;
  std::chrono::microseconds gives_up_at_{0};  // once there was an attempt
  bool unclear_ = false;                      // a claim of ours may still be on its way to the store
  bool removes_ = false;                      // settling: by removing it
  bool put_again_ = false;                    // the store lost the claim: the value is put as a new one
  bool told_ = false;

  friend Call;
  friend Renewal;
  friend class TimerCall<Claim, &Claim::on_time>;
};

/// What a worker has.
class Claims {
 public:
  explicit Claims(WorkerHandle worker) : worker_(worker) {}

  Claim& take();
  [[nodiscard]] WorkerHandle worker() const { return worker_; }
  [[nodiscard]] const Config& config() const { return *static_cast<const Config*>(worker_.raw()->config); }
  [[nodiscard]] int64_t wall_ms() const { return worker_.wall().count() / 1000; }

 private:
  friend class Claim;
  void give_back(Claim& claim);

  WorkerHandle worker_;
  std::list<Claim> busy_;
  std::list<Claim> spare_;  // the front was used last
  size_t retrying_ = 0;     // claims whose end could not be written yet
};

}  // namespace sluice::idempotency
