// Filter: the session of one exchange. The request's side (session.cc) finds it, the response's side (session_change.cc) carries out
// what the upstream wants to become of it.
//
// On the way in, two questions leave in one turn of the loop: the session, and the generation of its subject (see record.h). A
// session whose id was changed a moment ago costs one more: whether the one it became still lives.
//
// On the way back the answer waits for the store, in these steps:
//
//   step          asks for                                 then
//   log_out_all   REMOVE the generation                    join, put or remove, as the rest of the answer says; or done
//   join          PUT_IF_ABSENT a generation               put
//   put           PUT under a new id                       created: remove, if there was another session; new id: leave
//   leave         REPLACE_IF the old by where it went      done · the session changed: put again · is gone, or has left: undone
//   write         REPLACE_IF with the new data             done · the session changed: again · is gone, or has left: lost
//   remove        REMOVE_IF it is a live one               done · has left: the one that it became, 64 times at most
//
// A store that fails at any of them makes the answer a 503 without a cookie. An id that nobody was told needs no undoing but for tidiness.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/sha256.h"
#include "session/cookie.h"
#include "session/record.h"
#include "session/session_config.h"
#include "session/touch_table.h"

namespace sluice::session {

struct Worker {
  explicit Worker(WorkerHandle) {}

  Sha256 sha256;
  TouchTable touched;
  std::string cookies;  // scratch
};

class Filter {
 public:
  explicit Filter(Exchange exchange)
      : exchange_(exchange), session_call_(this), generation_call_(this), successor_call_(this), change_call_(this) {}

  Verdict on_begin();
  Verdict on_response();

 private:
  // What an answer of the upstream says in its fields X-Session-...
  struct Change {
    std::optional<std::string_view> create;  // the subject, perhaps none
    std::optional<std::string_view> data;
    std::optional<std::string_view> log_out_all;  // the subject; empty: this session's
    bool rotate = false;
    bool destroy = false;
    bool malformed = false;

    [[nodiscard]] bool any() const { return create || data || log_out_all || rotate || destroy; }
  };
  enum class Step : uint8_t { log_out_all, join, put, leave, write, remove };

  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }
  [[nodiscard]] Worker& worker() const { return exchange_.worker_state<Worker>(); }
  void count(uint32_t counter) const { exchange_.worker().count(counter); }
  [[nodiscard]] int64_t wall_ms() const { return exchange_.worker().wall().count() / 1000; }

  // --- both sides ---
  /// Keys in the store: of a session by its hash, of a generation by the tag of its subject.
  [[nodiscard]] std::string_view key(char kind, std::string_view text) const;
  [[nodiscard]] std::string_view session_key(const Digest& digest) const;
  [[nodiscard]] std::string_view generation_key(std::string_view tag) const { return key('g', tag); }
  [[nodiscard]] std::string_view tag_of(std::string_view subject) const;
  void strip_own_fields(Side side) const;
  /// What a store said, in memory of the exchange; nothing if it is too large to be one of ours.
  [[nodiscard]] std::string_view keep(std::string_view value) const;
  /// Tells the store something that nobody waits for.
  void tell(const StoreCommand& command) const;
  void drop(std::string_view key, const Record& record) const;
  /// Ends a phase: at once, or by resuming it.
  [[nodiscard]] Verdict verdict_or_pause();
  void decide(Verdict verdict);

  // --- the request ---
  void strip_cookie(const NamedCookies& cookies) const;
  void on_session(const StoreResult& result);
  void on_generation(const StoreResult& result);
  void on_successor(const StoreResult& result);
  void judge();
  void judge_standing();
  void accept();
  Verdict missing(uint32_t counter, std::string_view reason, std::string_view detail);
  Verdict redirect();
  Verdict without_store(std::string_view reason);
  Verdict unavailable(std::string_view reason, std::string_view detail) const;

  // --- the response ---
  [[nodiscard]] Change read_change() const;
  void carry_out();
  void go_on_after_logout();
  void ask(Step step, const StoreCommand& command);
  void join();
  void put();
  void leave();
  void write();
  void remove(std::string_view key);
  void on_change(const StoreResult& result);
  void on_joined(const StoreResult& result);
  void on_put();
  void on_left(const StoreResult& result);
  void on_written(const StoreResult& result);
  void on_removed(const StoreResult& result);
  bool read_again(std::string_view value);
  void try_again();
  void lose();
  void finish();
  void set_cookie(std::string_view value, std::string_view max_age) const;
  [[nodiscard]] std::chrono::milliseconds time_to_live(int64_t until_ms) const;

  Exchange exchange_;
  StoreCall<Filter, &Filter::on_session> session_call_;
  StoreCall<Filter, &Filter::on_generation> generation_call_;
  StoreCall<Filter, &Filter::on_successor> successor_call_;
  StoreCall<Filter, &Filter::on_change> change_call_;
  uint64_t token_ = 0;  // of the phase that waits
  std::optional<Verdict> verdict_;

  // The request. All views are into memory of the exchange.
  bool touches_ = false;         // the store was told to renew the time to live
  int waits_for_ = 0;            // answers of the store
  std::string_view cookie_key_;  // of the session that the client's cookie names
  uint64_t touch_key_ = 0;
  std::string_view tag_;
  std::string_view value_;       // as the store has it; empty: it has none
  std::string_view generation_;  // likewise
  std::string_view failure_;     // the store's reason
  Record record_;                // of value_
  bool has_session_ = false;
  bool stale_ = false;  // under an id that was changed: it may look, and end the session, but not change it
  int hops_ = 0;

  // The response.
  Change change_;
  Step step_ = Step::put;
  std::string_view new_id_;
  std::string_view new_key_;
  std::string_view new_tag_;
  std::string_view new_generation_;
  int tries_ = 0;
  int removals_ = 0;
  bool gives_cookie_ = false;
  bool expires_cookie_ = false;

  template <typename Owner, void (Owner::*OnResult)(const StoreResult&)>
  friend class sluice::StoreCall;
};

}  // namespace sluice::session
