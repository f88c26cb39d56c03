// The way back: what the upstream wants to become of the session, carried out before its answer goes on. The table of steps stands
// in filter.h.
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "common/base64.h"
#include "common/header_syntax.h"
#include "session/filter.h"

namespace sluice::session {

namespace {

constexpr size_t kMostSubjectBytes = 256;
constexpr int kMostTries = 16;  // against others who change the same session
constexpr int kMostRemovals =
    64;  // along ids that were changed, each one deeper in the stack if the store answers at once
constexpr std::chrono::minutes kTraceOfAnId{5};
constexpr std::chrono::milliseconds kGenerationLives = kLongestAbsolute + std::chrono::minutes(1);

/// 128 bits that nobody can guess, in base64url.
class RandomText {
 public:
  RandomText() {
    std::array<unsigned char, 16> bytes;
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();
    encode_base64url({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, text_);
  }
  [[nodiscard]] std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, kIdBytes> text_;
};

}  // namespace

Verdict Filter::on_response() {
  // What waits here or on the way in was overtaken by another answer, say of a timeout.
  session_call_.cancel();
  generation_call_.cancel();
  successor_call_.cancel();
  change_call_.cancel();
  token_ = 0;
  verdict_.reset();
  change_ = read_change();
  strip_own_fields(Side::response);
  if (!change_.any() || exchange_.progress().origin != SLUICE_FROM_UPSTREAM) return Verdict::go_on;
  if (change_.malformed) {
    return exchange_.respond({.status = 502,
                              .reason = "session_bad_change",
                              .detail = "What the upstream says of the session cannot be carried out."});
  }
  carry_out();
  return verdict_or_pause();
}

// A field that comes twice, or is too long, or a flag that is not 1, is malformed: better a clear error than half a change.
Filter::Change Filter::read_change() const {
  Change change;
  const auto take_text = [&](std::optional<std::string_view>& to, std::string_view value, size_t most) {
    change.malformed = change.malformed || to || value.size() > most;
    to = exchange_.copy(value.substr(0, most));
  };
  const auto take_flag = [&](bool& to, std::string_view value) {
    change.malformed = change.malformed || to || value != "1";
    to = true;
  };
  const std::string_view prefix = config().header_prefix;
  for (size_t i = 0; (i = exchange_.header_like(Side::response, prefix, i)) != SIZE_MAX; ++i) {
    const Header field = exchange_.header_at(Side::response, i);
    const std::string_view what = field.name.substr(prefix.size());
    if (equals_ignoring_case(what, "Create")) take_text(change.create, field.value, kMostSubjectBytes);
    if (equals_ignoring_case(what, "Data")) take_text(change.data, field.value, config().max_data);
    if (equals_ignoring_case(what, "Logout-All")) take_text(change.log_out_all, field.value, kMostSubjectBytes);
    if (equals_ignoring_case(what, "Rotate")) take_flag(change.rotate, field.value);
    if (equals_ignoring_case(what, "Destroy")) take_flag(change.destroy, field.value);
  }
  return change;
}

void Filter::carry_out() {
  if (!change_.log_out_all) return go_on_after_logout();
  const bool own = has_session_ && (change_.log_out_all->empty() || *change_.log_out_all == record_.subject);
  const std::string_view subject = own ? record_.subject : *change_.log_out_all;
  change_.destroy = change_.destroy || own;
  if (subject.empty()) {
    count(config().lost);
    return go_on_after_logout();
  }
  ask(Step::log_out_all, {.operation = SLUICE_REMOVE, .key = generation_key(tag_of(subject))});
}

void Filter::go_on_after_logout() {
  if (change_.create) return join();
  if (change_.destroy) {
    expires_cookie_ = true;
    return cookie_key_.empty() ? finish() : remove(cookie_key_);
  }
  if (!change_.rotate && !change_.data) return finish();
  if (!has_session_ || stale_) return lose();
  return change_.rotate ? put() : write();
}

void Filter::ask(Step step, const StoreCommand& command) {
  step_ = step;
  change_call_.ask(exchange_.worker(), config().store, command);
}

void Filter::on_change(const StoreResult& result) {
  if (result.outcome == SLUICE_FAILED) {
    count(config().store_errors);
    return decide(unavailable(result.reason, "The store of the sessions did not carry out what this answer wants."));
  }
  switch (step_) {
    case Step::log_out_all: count(config().logged_out); return go_on_after_logout();
    case Step::join: return on_joined(result);
    case Step::put: return on_put();
    case Step::leave: return on_left(result);
    case Step::write: return on_written(result);
    case Step::remove: return on_removed(result);
  }
}

// --- a new session, and a new id for one ---

// It lives at least as long as any session of it, also one of another instance, or of another configuration.
void Filter::join() {
  if (change_.create->empty()) return put();
  new_tag_ = tag_of(*change_.create);
  new_generation_ = exchange_.copy(RandomText().view());
  ask(Step::join, {.operation = SLUICE_PUT_IF_ABSENT,
                   .key = generation_key(new_tag_),
                   .value = new_generation_,
                   .ttl = kGenerationLives});
}

void Filter::on_joined(const StoreResult& result) {
  if (result.outcome == SLUICE_FOUND) {
    new_generation_ = keep(result.value);
    tell({.operation = SLUICE_TOUCH, .key = generation_key(new_tag_), .ttl = kGenerationLives});
  }
  put();
}

void Filter::put() {
  if (new_id_.empty()) {
    new_id_ = exchange_.copy(RandomText().view());
    new_key_ = session_key(worker().sha256({new_id_}));
  }
  const RandomText version;
  Record made = record_;
  if (change_.create) {
    made = {.until_ms = wall_ms() + config().absolute.count(),
            .generation = new_generation_,
            .subject = *change_.create,
            .data = {}};
  } else {
    new_tag_ = tag_;
  }
  made.mark = version.view();
  if (change_.data) made.data = *change_.data;
  ask(Step::put,
      {.operation = SLUICE_PUT, .key = new_key_, .value = write_record(made), .ttl = time_to_live(made.until_ms)});
}

void Filter::on_put() {
  if (!change_.create) return leave();
  count(config().created);
  gives_cookie_ = true;
  if (cookie_key_.empty()) return finish();
  remove(cookie_key_);
}

// The old id is good for a while yet, for what is on its way, but only to see what was there. Where it went stays to be read for
// longer: who ends the session by its old id has to find it.
void Filter::leave() {
  const std::string front = record_.front();
  Record left = record_;
  left.kind = Record::Kind::rotated;
  left.mark = new_key_.substr(config().prefix.size() + 2);
  left.until_ms = std::min(record_.until_ms, wall_ms() + config().rotate_grace.count());
  ask(Step::leave, {.operation = SLUICE_REPLACE_IF,
                    .key = cookie_key_,
                    .value = write_record(left),
                    .expected = front,
                    .ttl = config().rotate_grace + kTraceOfAnId});
}

void Filter::on_left(const StoreResult& result) {
  if (result.outcome == SLUICE_DONE) {
    count(config().rotated);
    gives_cookie_ = true;
    return finish();
  }
  if (result.outcome == SLUICE_FOUND && read_again(result.value)) return try_again();
  tell({.operation = SLUICE_REMOVE, .key = new_key_});  // nobody knows its id
  lose();
}

// --- other data ---

void Filter::write() {
  const std::string front = record_.front();
  const RandomText version;
  Record made = record_;
  made.mark = version.view();
  made.data = *change_.data;
  ask(Step::write, {.operation = SLUICE_REPLACE_IF,
                    .key = cookie_key_,
                    .value = write_record(made),
                    .expected = front,
                    .ttl = time_to_live(made.until_ms)});
}

void Filter::on_written(const StoreResult& result) {
  if (result.outcome == SLUICE_DONE) {
    count(config().changed);
    return finish();
  }
  if (result.outcome == SLUICE_FOUND && read_again(result.value)) return try_again();
  lose();
}

// True if the session lives on, under this id, as it is now.
bool Filter::read_again(std::string_view value) {
  const auto record = parse_record(keep(value));
  if (!record || record->kind != Record::Kind::live) return false;
  record_ = *record;
  return true;
}

void Filter::try_again() {
  if (++tries_ > kMostTries) return decide(unavailable("session_contended", "Too many change this session at once."));
  change_.rotate ? put() : write();
}

// --- the end of a session ---

void Filter::remove(std::string_view key) {
  ask(Step::remove, {.operation = SLUICE_REMOVE_IF, .key = key, .expected = kLiveFront});
}

// Whoever gave it a new id meanwhile does not save it.
void Filter::on_removed(const StoreResult& result) {
  if (result.outcome == SLUICE_FOUND) {
    const auto record = parse_record(result.value);
    if (record && record->kind == Record::Kind::rotated) {
      if (++removals_ > kMostRemovals)
        return decide(unavailable("session_contended", "This session was given too many new ids since."));
      return remove(key('s', record->mark));
    }
  }
  if (result.outcome == SLUICE_DONE && !change_.create) count(config().destroyed);
  finish();
}

// --- the answer ---

// It wanted to change a session that is over by now, or that it saw under an old id.
void Filter::lose() {
  count(config().lost);
  finish();
}

void Filter::finish() {
  if (gives_cookie_) {
    std::string value(new_id_);
    if (!new_tag_.empty()) (value += '.') += new_tag_;
    set_cookie(value, config().max_age);
    if (!exchange_.header(Side::response, "Cache-Control"))
      exchange_.set_header(Side::response, "Cache-Control", "no-store");
  } else if (expires_cookie_) {
    set_cookie("", "; Max-Age=0");
  }
  decide(Verdict::go_on);
}

void Filter::set_cookie(std::string_view value, std::string_view max_age) const {
  std::string field = config().cookie + '=';
  ((field += value) += config().attributes) += max_age;
  exchange_.add_header(Side::response, "Set-Cookie", field);
}

std::chrono::milliseconds Filter::time_to_live(int64_t until_ms) const {
  const std::chrono::milliseconds left(until_ms - wall_ms());
  return std::max(std::min(left, config().idle), std::chrono::milliseconds(1));
}

}  // namespace sluice::session
