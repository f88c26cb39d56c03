// Store: a place for small values with a time to live, shared by the workers of one gateway (memory) or by many gateways
// (Redis). What plugins keep there: sessions, claims of idempotency keys, rate limits. Every operation is atomic and one
// round trip. One interface, two implementations: MemoryStore (one for the process, any thread) and RedisStore (one for each
// worker, on its thread).
//
// Whoever asks owns a Call and hears of the outcome once, on the thread that asked; from inside submit() if the store knows
// it at once. A Call that is cancelled or destroyed hears nothing more; the operation itself may still be carried out.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/reason.h"

namespace sluice::store {

enum class Operation : uint8_t {
  get,            // -> found, absent
  touch,          // get, and the time to live begins anew; never revives a key            -> found, absent
  put,            // -> done
  put_if_absent,  // -> done; or found, with the winner's value
  replace_if,     // put, if the value there begins with `expected`         -> done; found, with another value; absent
  remove_if,      // remove, if the value there begins with `expected`      -> done; found, with another value; absent
  remove,         // -> done; absent
  take,           // one unit of a rate (GCRA)                                             -> done; refused
  add,            // to a decimal number, 0 if absent; ttl counts from its first addition  -> done, with the sum
};

/// For take: `burst` units at once, and then one each `period` / `units`. GCRA (ITU-T I.371).
struct Rate {
  uint32_t units = 1;
  Micros period{1'000'000};
  uint32_t burst = 1;  // >= 1
};

/// All views are copied before submit() returns. Keys and values are any bytes, keys at most kMaxKeyBytes long.
struct Command {
  Operation operation = Operation::get;
  std::string_view key;
  std::string_view value;
  std::string_view expected;
  Millis ttl{0};  // touch, put, put_if_absent, replace_if, add: > 0
  int64_t amount = 1;
  Rate rate;
};

constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kMaxValueBytes = size_t{16} << 20;

/// As this file asks for it: a key of 1 to kMaxKeyBytes, and what the operation needs.
[[nodiscard]] bool is_valid(const Command& command);

struct Outcome {
  enum class Kind : uint8_t {
    done,
    found,
    absent,
    refused,  // take: nothing is left now
    failed,   // nobody knows whether the operation was carried out, unless `reason` says that it was not
  };
  Kind kind = Kind::failed;
  std::string_view value;        // valid during the callback
  int64_t sum = 0;               // add
  uint32_t remaining = 0;        // take: units that could be taken at once now
  Micros retry_after{0};         // take, refused: when one unit is there again
  Micros reset_after{0};         // take: when the whole burst is there again
  Reason reason = Reason::none;  // failed: store_unavailable, store_timeout, store_lost, ..._refused, ..._full
};

/// One outstanding operation: a member of whoever waits for it.
class Call {
 public:
  using Done = void (*)(void* owner, const Outcome& outcome);
  Call(Done done, void* owner) : done_(done), owner_(owner) {}
  ~Call() { cancel(); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  [[nodiscard]] bool outstanding() const { return ticket_ != nullptr; }
  void cancel() {
    if (Ticket* ticket = std::exchange(ticket_, nullptr)) ticket->call = nullptr;
  }

  /// What a store keeps of a call until it has an answer for it. For stores only.
  struct Ticket {
    Call* call = nullptr;  // nullptr: nobody wants to know

    /// Gives the outcome to whoever still waits, once.
    void answer(const Outcome& outcome) {
      Call* waiting = std::exchange(call, nullptr);
      if (waiting == nullptr) return;
      waiting->ticket_ = nullptr;
      waiting->done_(waiting->owner_, outcome);
    }
  };
  void wait_for(Ticket& ticket) {
    ticket_ = &ticket;
    ticket.call = this;
  }
  /// For a store that knows the outcome at once.
  void answer(const Outcome& outcome) { done_(owner_, outcome); }

 private:
  Ticket* ticket_ = nullptr;
  Done done_;
  void* owner_;
};

class Store {
 public:
  virtual ~Store() = default;

  /// Begins the operation. `call` must not be outstanding; nullptr: nobody wants to know the outcome.
  virtual void submit(const Command& command, Call* call) = 0;
  /// Every outcome comes from inside submit().
  [[nodiscard]] virtual bool answers_at_once() const { return false; }
  /// False while operations fail: for /readyz.
  [[nodiscard]] virtual bool available() const = 0;
};

}  // namespace sluice::store
