#include "idempotency/claim.h"

#include <algorithm>

namespace sluice::idempotency {

namespace {

constexpr size_t kSpareClaims = 64;
constexpr size_t kSpareValueBytes = 4096;
// An end that cannot be written is tried again for a minute: soon after the store is back, for until then the key's next request is
// told to wait; and ever more seldom where the store answers, but a claim may still be on its way. So many at once, whose results
// stay in memory meanwhile.
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::milliseconds kPause{500};
constexpr size_t kMaxRetrying = 256;

}  // namespace

Claim::Claim(Claims& claims) : claims_(claims), call_(this), renewal_(this), timer_(this) {}

void Claim::begin(User& user, std::string_view prefix, std::string_view place, const Digest& head) {
  user_ = &user;
  key_ = prefix;
  key_ += place;
  record_ = {};
  record_.head = head;
  const Digest random = random_digest();
  std::copy_n(random.begin(), record_.token.size(), record_.token.begin());
}

// --- claiming ---

void Claim::ask() {
  phase_ = Phase::asking;
  call_.ask(claims_.worker(), claims_.config().store, put(claim_value()));
}

void Claim::take_over(std::string_view there) {
  phase_ = Phase::asking;
  const std::string read(there.substr(0, kReadBytes));
  call_.ask(claims_.worker(), claims_.config().store, replace(read, claim_value()));
}

void Claim::on_asked(const StoreResult& result) {
  phase_ = Phase::idle;
  switch (result.outcome) {
    case SLUICE_DONE: return become_mine();
    case SLUICE_FOUND:
      // A store that lost its connection may have sent the command twice.
      if (is_own(result.value)) return become_mine();
      return tell(Answer::taken, result.value);
    case SLUICE_ABSENT: return ask();  // what was to be taken over is gone
    default: break;
  }
  const bool surely_not = result.reason == "store_unavailable" || result.reason == "store_full";
  if (!surely_not) {
    unclear_ = true;
    phase_ = Phase::unclear;
  }
  tell(surely_not ? Answer::not_stored : Answer::unclear, result.reason);
}

void Claim::become_mine() {
  phase_ = Phase::mine;
  if (user_ != nullptr) watch_lease();
  tell(Answer::mine, {});
}

void Claim::tell(Answer answer, std::string_view detail) {
  if (user_ != nullptr) return user_->on_claimed(answer, detail);
  leave(false);  // nobody waits for it any more
}

void Claim::proceed_unprotected() {
  phase_ = Phase::mine;
  watch_lease();
}

// --- the lease ---

void Claim::watch_lease() { timer_.set(claims_.worker(), claims_.config().lease / 3); }

void Claim::renew() {
  renewal_.ask(claims_.worker(), claims_.config().store, replace(claimed_prefix(), claim_value()));
}

void Claim::on_renewed(const StoreResult& result) {
  if (result.outcome == SLUICE_ABSENT)  // the store lost it, so anybody could claim the key now
    return renewal_.ask(claims_.worker(), claims_.config().store, put(claim_value()));
  if (result.outcome == SLUICE_FOUND && !is_own(result.value)) return;  // taken over: complete() will notice
  if (result.outcome == SLUICE_DONE) claims_.worker().count(claims_.config().renewed);
  watch_lease();
}

void Claim::on_time() { phase_ == Phase::mine ? renew() : write_end(); }

// --- the end ---

void Claim::begin_result(uint16_t status) {
  record_.status = status;
  value_.assign(kRecordBytes, '\0');
  field_bytes_ = 0;
}

void Claim::add_field(std::string_view name, std::string_view value) {
  append_field(value_, name, value);
  field_bytes_ = value_.size() - kRecordBytes;
}

void Claim::complete(State state, const std::optional<Digest>& body) {
  record_.state = State::done;
  record_.body = body;
  if (state == State::too_large) drop_result();
  settle(false);
}

void Claim::drop_result() {
  record_.state = State::too_large;
  record_.fields = {};
  field_bytes_ = 0;
  value_.resize(kRecordBytes);
  write_front(record_, value_);
}

void Claim::give_up() {
  record_.state = State::unknown;
  begin_result(0);
  settle(false);
}

void Claim::release() { settle(true); }

void Claim::settle(bool removes) {
  timer_.cancel();
  renewal_.cancel();
  phase_ = Phase::settling;
  removes_ = removes;
  attempts_ = 0;
  told_ = false;
  put_again_ = false;
  if (!removes) {
    record_.deadline_ms = claims_.wall_ms();
    record_.fields = std::string_view(value_).substr(kRecordBytes, field_bytes_);
    write_front(record_, value_);
  }
  write_end();
}

// A renewal may still be on its way, behind this: it expects the state that this changes.
void Claim::write_end() {
  const std::string_view expected =
      record_.state == State::done || record_.state == State::too_large ? token() : claimed_prefix();
  StoreCommand command = replace(expected, value_);
  if (removes_) command.operation = SLUICE_REMOVE_IF;
  call_.ask(claims_.worker(), claims_.config().store, put_again_ ? put(value_) : command);
}

void Claim::on_written(const StoreResult& result) {
  switch (result.outcome) {
    case SLUICE_DONE: return end(true);
    case SLUICE_FOUND:
      // The store had lost the claim, and a renewal on its way came before the value that was put again.
      if (put_again_ && result.value.starts_with(claimed_prefix())) {
        put_again_ = false;
        return write_end();
      }
      if (removes_ || is_own(result.value)) return end(true);
      claims_.worker().count(claims_.config().lost);
      claims_.worker().log(SLUICE_WARN, "a request was carried out after its claim had been taken over");
      return end(false);
    case SLUICE_ABSENT:
      if (removes_ && !unclear_) return end(true);
      if (removes_) break;  // our claim may still come
      put_again_ = true;
      return write_end();
    default:
      claims_.worker().count(claims_.config().store_errors);
      if (result.reason != "store_full" || record_.state != State::done) break;
      drop_result();  // that it was carried out takes no more room than the claim
      return write_end();
  }
  if (!try_again(result.outcome == SLUICE_FAILED)) return end(result.outcome == SLUICE_ABSENT);
  if (user_ != nullptr && !told_) {
    told_ = true;
    user_->on_settled();
  }
}

bool Claim::try_again(bool store_failed) {
  constexpr unsigned kMostDoublings = 6;
  const auto now = claims_.worker().now();
  if (attempts_ == 0) {
    if (claims_.retrying_ == kMaxRetrying) return false;
    ++claims_.retrying_;
    gives_up_at_ = now + kPatience;
  }
  if (now >= gives_up_at_) return false;
  timer_.set(claims_.worker(), store_failed ? kPause : kPause * (1 << std::min(attempts_, kMostDoublings)));
  ++attempts_;
  return true;
}

void Claim::end(bool stored) {
  phase_ = Phase::over;
  if (attempts_ > 0) --claims_.retrying_;
  if (!stored) claims_.worker().count(claims_.config().not_stored);
  if (user_ == nullptr) return claims_.give_back(*this);
  if (!std::exchange(told_, true)) user_->on_settled();
}

void Claim::leave(bool upstream_reached) {
  user_ = nullptr;
  switch (phase_) {
    case Phase::asking:
    case Phase::settling: return;
    case Phase::unclear: return release();
    case Phase::mine: return upstream_reached ? give_up() : release();
    case Phase::idle:
    case Phase::over: return claims_.give_back(*this);
  }
}

// --- what is said to the store ---

void Claim::on_answer(const StoreResult& result) { phase_ == Phase::asking ? on_asked(result) : on_written(result); }

bool Claim::is_own(std::string_view value) const { return value.starts_with(token()); }

std::string_view Claim::claim_value() {
  record_.state = State::claimed;
  record_.deadline_ms = claims_.wall_ms() + claims_.config().lease.count();
  record_.fields = {};
  write_front(record_, claim_value_);
  return claim_value_;
}

std::string_view Claim::claimed_prefix() { return std::string_view(claim_value_).substr(0, kTokenAndStateBytes); }

StoreCommand Claim::put(std::string_view value) const {
  return {.operation = SLUICE_PUT_IF_ABSENT, .key = key_, .value = value, .ttl = claims_.config().ttl};
}

StoreCommand Claim::replace(std::string_view expected, std::string_view value) const {
  return {
      .operation = SLUICE_REPLACE_IF, .key = key_, .value = value, .expected = expected, .ttl = claims_.config().ttl};
}

// --- all of a worker ---

Claim& Claims::take() {
  if (spare_.empty()) {
    spare_.emplace_front(*this);
    spare_.front().self_ = spare_.begin();
  }
  Claim& claim = spare_.front();
  busy_.splice(busy_.begin(), spare_, claim.self_);
  return claim;
}

void Claims::give_back(Claim& claim) {
  claim.user_ = nullptr;
  claim.timer_.cancel();
  claim.renewal_.cancel();
  claim.phase_ = Claim::Phase::idle;
  claim.unclear_ = false;
  claim.attempts_ = 0;
  if (claim.value_.capacity() > kSpareValueBytes) claim.value_ = std::string();
  spare_.splice(spare_.begin(), busy_, claim.self_);
  if (spare_.size() > kSpareClaims) spare_.pop_back();
}

}  // namespace sluice::idempotency
