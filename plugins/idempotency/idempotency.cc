// idempotency: a request with an Idempotency-Key reaches the upstream once; whoever repeats it gets the first one's answer.
// draft-ietf-httpapi-idempotency-key-header-06. What the store holds of a key: record.h. How it gets there: claim.h.
//
// Step       what the request is                               leaves by
// passing    not ours: no key, or a method without one         -
// asking     the store is asked for the claim                  ours -> owning; else -> waiting, comparing or an answer
// waiting    another one with this key is carried out          a timer -> asking
// comparing  it was carried out: is this the same request?     the end of its body -> an answer
// owning     on its way to the upstream, or back               the end of the result, or of hope -> settled
// settled    the store knows what became of it                 -
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/header_syntax.h"
#include "idempotency/claim.h"
#include "idempotency/fingerprint.h"
#include "idempotency/idempotency_config.h"
#include "idempotency/key.h"
#include "idempotency/record.h"

namespace sluice::idempotency {

namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxFieldBytes = 32 * 1024;  // of a result; more is too large
constexpr milliseconds kFirstPoll{20};
constexpr milliseconds kLongestPoll{500};
constexpr const char* kSubjects[] = {"jwt.sub", "session.subject", "auth.user"};

KeyHash hash_of(const Digest& digest) {
  KeyHash hash;
  std::memcpy(&hash, digest.data(), sizeof(hash));
  return hash;
}

}  // namespace

struct Worker : Claims {
  explicit Worker(WorkerHandle handle) : Claims(handle) {}

  Sha256 sha256;
};

class Filter final : private Claim::User {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange), timer_(this) {}

  Verdict on_request() {
    if (!config().covers(exchange_.fact(SLUICE_METHOD))) return Verdict::go_on;
    const auto value = exchange_.header(Side::request, config().header);
    if (!value) return config().required ? refuse_missing() : Verdict::go_on;
    std::array<char, kMaxKeyBytes> memory;
    const bool twice = exchange_.header(Side::request, config().header, 1).has_value();
    const auto key = twice ? std::nullopt : parse_key(*value, memory);
    if (!key) return refuse_invalid();

    // What was begun is carried out and its result kept, though nobody waits for it any more.
    exchange_.outlive_client();
    begin(*key);
    return verdict_or_pause();
  }

  Verdict on_request_body(std::string_view data, bool last) {
    if (step_ != Step::owning && step_ != Step::comparing) return Verdict::go_on;
    claim_->sha256().add(data);
    if (!last) return Verdict::go_on;
    body_ = claim_->sha256().finish();
    return step_ == Step::comparing ? replay() : Verdict::go_on;
  }

  Verdict on_response() {
    if (step_ != Step::owning) {
      exchange_.skip_body();
      if (step_ == Step::asking || step_ == Step::waiting) leave();  // an answer of the gateway overtook the store's
      return Verdict::go_on;
    }
    const sluice_progress progress = exchange_.progress();
    if (progress.origin == SLUICE_FROM_UPSTREAM) return begin_result(progress);
    exchange_.skip_body();
    progress.upstream_reached != 0 ? give_up() : release();
    return verdict_or_pause();
  }

  Verdict on_response_body(std::string_view data, bool last) {
    if (step_ != Step::owning) return Verdict::go_on;
    received_ += static_cast<int64_t>(data.size());
    fits_ = fits_ && claim_->content_bytes() + data.size() <= config().max_body_bytes;
    if (fits_) claim_->add_content(data);
    // The last byte waits for the store, also where the length is known: who got all of an answer gets it again.
    if (!last && received_ != announced_) return Verdict::go_on;
    complete();
    return verdict_or_pause();
  }

  void on_complete(const sluice_summary&) { leave(); }

 private:
  enum class Step : uint8_t { passing, asking, waiting, comparing, owning, settled };

  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }
  [[nodiscard]] Worker& worker() const { return exchange_.worker_state<Worker>(); }
  void count(uint32_t counter) const { exchange_.worker().count(counter); }

  // Each phase that may have to wait ends with this: what is known now is its verdict, else resume() will bring it.
  Verdict verdict_or_pause() {
    if (verdict_) return *std::exchange(verdict_, std::nullopt);
    token_ = exchange_.token();
    return Verdict::pause;
  }
  void conclude(Verdict verdict) {
    if (token_ == 0) {
      verdict_ = verdict;
    } else {
      exchange_.worker().resume(std::exchange(token_, 0), verdict);
    }
  }

  // --- the claim ---

  void begin(std::string_view key) {
    step_ = Step::asking;
    claim_ = &worker().take();
    Digest place{};
    const bool identified = add_place(key, place);
    head_ = head_digest(identified);
    hash_ = hash_of(place);
    if (config().seen) is_first_ = config().seen->is_first(hash_);
    std::array<char, 2 * sizeof(Digest)> hex;
    for (size_t i = 0; i < place.size(); ++i) {
      hex[2 * i] = "0123456789abcdef"[place[i] >> 4];
      hex[2 * i + 1] = "0123456789abcdef"[place[i] & 15];
    }
    claim_->begin(*this, config().prefix, {hex.data(), hex.size()}, head_);
    claim_->ask();
  }

  // Where the key is kept. True if that says who the client is: an address or a host does not, nor does a subject that is missing.
  bool add_place(std::string_view key, Digest& place) const {
    bool identified = false;
    bool anonymous = false;
    PartsDigest parts(worker().sha256);
    parts.add(exchange_.fact(SLUICE_ROUTE)).add(exchange_.fact(SLUICE_METHOD)).add(key);
    for (const ScopePart& part : config().scope) {
      const char kind = static_cast<char>(part.kind);
      parts.add({&kind, 1}).add(part.name);
      switch (part.kind) {
        case ScopePart::Kind::subject: (add_subject(parts) ? identified : anonymous) = true; break;
        case ScopePart::Kind::shared: identified |= add_value(parts, exchange_.shared(part.name)); break;
        case ScopePart::Kind::header: identified |= add_value(parts, exchange_.header(Side::request, part.name)); break;
        case ScopePart::Kind::client: parts.add(exchange_.fact(SLUICE_CLIENT)); break;
        case ScopePart::Kind::host: parts.add(lower_host()); break;
      }
    }
    place = parts.finish();
    return identified && !anonymous;
  }

  static bool add_value(PartsDigest& parts, std::optional<std::string_view> value) {
    parts.add(value.value_or(""));
    return value && !value->empty();
  }

  bool add_subject(PartsDigest& parts) const {
    for (const char* name : kSubjects) {
      if (const auto subject = exchange_.shared(name)) {
        // Two issuers may have the same subject.
        parts.add(name).add(*subject).add(exchange_.shared("jwt.iss").value_or(""));
        return true;
      }
    }
    return false;
  }

  // Of all that is known before the body. If nobody says who the client is, its credentials must be those of the first request: an
  // answer is shown to nobody else.
  Digest head_digest(bool identified) const {
    PartsDigest parts(worker().sha256);
    parts.add(exchange_.fact(SLUICE_METHOD)).add(lower_host());
    parts.add(exchange_.fact(SLUICE_PATH)).add(exchange_.fact(SLUICE_QUERY));
    if (!identified) add_header(parts, "Authorization");
    for (const std::string& name : config().fingerprint) add_header(parts, name);
    return parts.finish();
  }

  void add_header(PartsDigest& parts, std::string_view name) const {
    parts.add(name);
    for (size_t i = 0; const auto value = exchange_.header(Side::request, name, i); ++i) parts.add("=").add(*value);
  }

  [[nodiscard]] std::string lower_host() const {
    std::string host(exchange_.fact(SLUICE_HOST));
    std::transform(host.begin(), host.end(), host.begin(), lower);
    return host;
  }

  void on_claimed(Claim::Answer answer, std::string_view detail) override {
    switch (answer) {
      case Claim::Answer::mine: return own(config().first);
      case Claim::Answer::taken: return judge(detail);
      case Claim::Answer::not_stored:
      case Claim::Answer::unclear: return without_store(detail);
    }
  }

  void own(uint32_t counter) {
    if (taking_over_) counter = config().taken_over;
    count(counter);
    step_ = Step::owning;
    begin_body();
    conclude(Verdict::go_on);
  }

  void begin_body() {
    claim_->sha256().begin();
    if (exchange_.progress().request_body_bytes == 0) body_ = claim_->sha256().finish();
  }

  // Another request with this key came before.
  void judge(std::string_view there) {
    const auto record = read_record(there);
    if (!record) return conclude(refuse_unreadable());
    if (record->head != head_) return conclude(refuse_mismatch());
    switch (record->state) {
      case State::done:
      case State::too_large: return compare(there);
      case State::unknown: return judge_unknown(there);
      case State::claimed: break;
    }
    const auto lapses = milliseconds(record->deadline_ms) + config().clock_skew;
    if (milliseconds(worker().wall_ms()) > lapses) return judge_unknown(there);
    const std::chrono::microseconds now = exchange_.worker().now();
    if (step_ == Step::asking && polls_ == 0) waits_until_ = now + config().wait;
    if (now >= waits_until_) return conclude(refuse_in_flight());
    step_ = Step::waiting;
    timer_.set(exchange_.worker(), std::min(kFirstPoll * (1 << std::min(polls_++, 5u)), kLongestPoll));
  }

  void on_time() {
    step_ = Step::asking;
    claim_->ask();
  }

  void judge_unknown(std::string_view there) {
    if (!config().retry_unknown) return conclude(refuse_unknown());
    taking_over_ = true;
    claim_->take_over(there);
  }

  // The answer is there for whoever sends the same body.
  void compare(std::string_view there) {
    step_ = Step::comparing;
    found_ = *read_record(claim_->keep(there));
    claim_->sha256().begin();
    conclude(Verdict::read_body);
  }

  void without_store(std::string_view reason) {
    count(config().store_errors);
    // Before a filter that has seen all that could come again, what is new cannot be a repetition.
    if (config().open_on_store_error && (config().seen == nullptr || is_first_)) {
      claim_->proceed_unprotected();
      return own(config().unprotected);
    }
    leave();
    const Header retry{"Retry-After", "1"};
    conclude(exchange_.respond(
        {.status = 503,
         .headers = {&retry, 1},
         .reason = reason,
         .detail = "Whether this request came before cannot be found out now, so it was not carried out."}));
  }

  // --- the result ---

  Verdict begin_result(const sluice_progress& progress) {
    claim_->begin_result(static_cast<uint16_t>(progress.status));
    announced_ = progress.response_body_bytes;
    fits_ = progress.status <= 599 && progress.status != 101 &&
            (announced_ < 0 || static_cast<uint64_t>(announced_) <= config().max_body_bytes);
    for (size_t i = 0; i < exchange_.header_count(Side::response); ++i) {
      const Header field = exchange_.header_at(Side::response, i);
      if (config().keeps(field.name)) claim_->add_field(field.name, field.value);
    }
    fits_ = fits_ && claim_->field_bytes() <= kMaxFieldBytes;
    const bool has_body = announced_ != 0 && progress.status != 101 && exchange_.fact(SLUICE_METHOD) != "HEAD";
    if (has_body) return Verdict::go_on;
    exchange_.skip_body();
    complete();
    return verdict_or_pause();
  }

  void complete() {
    step_ = Step::settled;
    if (!fits_) count(config().too_large);
    see_again();
    claim_->complete(fits_ ? State::done : State::too_large, body_);
  }
  void give_up() {
    step_ = Step::settled;
    count(config().outcome_lost);
    see_again();
    claim_->give_up();
  }
  // What is stored now is kept for a ttl from now.
  void see_again() const {
    if (config().seen) config().seen->is_first(hash_);
  }
  void release() {
    step_ = Step::settled;
    count(config().released);
    claim_->release();
  }
  void on_settled() override { conclude(Verdict::go_on); }

  void leave() {
    timer_.cancel();
    if (claim_ == nullptr) return;
    const bool reached = step_ == Step::owning && exchange_.progress().upstream_reached != 0;
    if (step_ == Step::owning) count(reached ? config().outcome_lost : config().released);
    if (reached) see_again();
    step_ = Step::settled;
    std::exchange(claim_, nullptr)->leave(reached);
  }

  // --- answers ---

  Verdict replay() {
    if (found_.body && *found_.body != *body_) return refuse_mismatch();
    if (found_.state == State::too_large) return refuse_too_large();
    count(config().replayed);
    std::vector<Header> headers;
    std::string_view fields = found_.fields;
    for (Header field; take_field(fields, field.name, field.value);) headers.push_back(field);
    headers.push_back({"Idempotent-Replayed", "true"});
    return exchange_.respond({.status = found_.status, .headers = headers, .body = found_.content});
  }

  Verdict refuse(uint32_t status, uint32_t counter, std::string_view reason, std::string_view detail) const {
    count(counter);
    return exchange_.respond({.status = status, .reason = reason, .detail = detail});
  }
  Verdict refuse_missing() const {
    return refuse(400, config().missing, "idempotency_key_missing", "This request needs an idempotency key.");
  }
  Verdict refuse_invalid() const {
    return refuse(400, config().invalid, "idempotency_key_invalid",
                  "The idempotency key must be one value of 1 to 255 printable characters.");
  }
  Verdict refuse_mismatch() const {
    return refuse(422, config().mismatched, "idempotency_key_reused",
                  "Another request was sent with this idempotency key.");
  }
  Verdict refuse_unknown() const {
    return refuse(
        409, config().unknown, "idempotency_outcome_unknown",
        "The first request with this key may have been carried out or not; nobody knows. It is not sent again.");
  }
  Verdict refuse_too_large() const {
    return refuse(409, config().replayed, "idempotency_result_too_large",
                  "The first request with this key was carried out; its result was too large to be kept.");
  }
  Verdict refuse_in_flight() const {
    count(config().in_flight);
    const Header retry{"Retry-After", "1"};
    return exchange_.respond({.status = 409,
                              .headers = {&retry, 1},
                              .reason = "idempotency_in_flight",
                              .detail = "The first request with this key is still being carried out."});
  }
  // Another version of this plugin wrote it, or somebody who should not.
  Verdict refuse_unreadable() const {
    return refuse(503, config().store_errors, "idempotency_record_unreadable",
                  "What is known of this key cannot be read by this gateway.");
  }

  Exchange exchange_;
  Claim* claim_ = nullptr;
  TimerCall<Filter, &Filter::on_time> timer_;
  Step step_ = Step::passing;
  uint64_t token_ = 0;              // a phase waits
  std::optional<Verdict> verdict_;  // and this is what it gets
  Digest head_{};
  std::optional<Digest> body_;  // of the request, once all of it came
  KeyHash hash_{};
  bool is_first_ = false;  // the filter surely never saw this key
  bool taking_over_ = false;
  unsigned polls_ = 0;
  std::chrono::microseconds waits_until_{0};
  Record found_;
  int64_t announced_ = -1;
  int64_t received_ = 0;
  bool fits_ = true;

  friend class TimerCall<Filter, &Filter::on_time>;
};

}  // namespace sluice::idempotency

SLUICE_PLUGIN("idempotency", "1.0", sluice::idempotency::Config, sluice::idempotency::Worker,
              sluice::idempotency::Filter)
