// jwt: lets requests pass that bring a good token, and tells the upstream, other plugins and the routes what it says. As a listener's plugin
// it does so before routing. What costs (a signature) is done once for a token; then it is known, with all that is to be said of it.
#include <algorithm>
#include <charconv>
#include <list>

#include "common/cookies.h"
#include "common/header_syntax.h"
#include "common/strip_fields.h"
#include "common/verdict_cache.h"
#include "jwt/jwt_config.h"
#include "jwt/token_cache.h"

namespace sluice::jwt {

namespace {

// True if `text` is `plain` once %XX in it is decoded.
bool decodes_to(std::string_view text, std::string_view plain) {
  for (const char c : plain) {
    if (text.empty()) return false;
    uint8_t byte = 0;
    const bool is_escape = text[0] == '%' && text.size() >= 3 &&
                           std::from_chars(text.data() + 1, text.data() + 3, byte, 16).ptr == text.data() + 3;
    if ((is_escape ? static_cast<char>(byte) : text[0]) != c) return false;
    text.remove_prefix(is_escape ? 3 : 1);
  }
  return text.empty();
}

}  // namespace

class Filter;

class Worker {
 public:
  explicit Worker(WorkerHandle handle)
      : config(*static_cast<const Config*>(handle.raw()->config)), good(config.cache_bytes), verifier(config.rules) {
    keys.push_back(&config.keys);
    for (const RemoteRules& rules : config.remotes) {
      remotes.emplace_back(handle, rules, config.remote_counters, [this](bool changed) { on_fetch_over(changed); });
      keys.push_back(&remotes.back().keys());
    }
  }

  [[nodiscard]] Digest digest_of(std::string_view token) const { return sha256_({as_text(secret_), token}); }

  const Config& config;
  TokenCache good;
  VerdictCache bad;  // apart, so that bad tokens, however many, never drive out a good one
  Verifier verifier;
  std::list<RemoteKeys> remotes;
  std::vector<const Keys*> keys;
  std::list<Filter*> waiting;  // for keys, the first to come first

 private:
  void on_fetch_over(bool changed);

  Sha256 sha256_;
  // Bad tokens come from anyone: without it, one could choose where in a table they go.
  Digest secret_ = random_digest();
};

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange), timer_(this) {}
  ~Filter() { end_wait(); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  Verdict on_begin() {
    // Before anything else: nobody but this plugin says these.
    for (const auto& rule : config().rules.headers) strip_field(exchange_, rule.header);
    size_t count = 0;
    token_ = find_token(count);
    if (count > 1) return refuse(Refusal::malformed);
    if (count == 1) return check();
    if (config().required) return refuse(Refusal::missing);
    exchange_.worker().count(config().anonymous);
    return Verdict::go_on;
  }

  /// A fetch is over: perhaps the key is there now.
  void look_again() {
    const Verdict verdict = check();
    if (verdict != Verdict::pause) resume(verdict);
  }

 private:
  static constexpr Micros kBadRemembered{60'000'000};
  static constexpr size_t kMaxWaiting = 1024;

  [[nodiscard]] const Config& config() const { return worker().config; }
  [[nodiscard]] Worker& worker() const { return exchange_.worker_state<Worker>(); }

  // --- where the token is ---

  std::string_view find_token(size_t& count) const {
    switch (config().place) {
      case Place::authorization: return find_in_authorization(count);
      case Place::header: return find_in_header(count);
      case Place::cookie: return find_in_cookies(count);
      case Place::query: break;
    }
    return find_in_query(count);
  }

  static bool is_bearer(std::string_view value) {
    constexpr std::string_view kScheme = "bearer";
    const bool ends = value.size() <= kScheme.size() || value[kScheme.size()] == ' ' || value[kScheme.size()] == '\t';
    return ends && equals_ignoring_case(value.substr(0, kScheme.size()), kScheme);
  }
  static std::string_view after_scheme(std::string_view value) {
    value.remove_prefix(std::string_view("bearer").size());
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    return value;
  }

  std::string_view find_in_authorization(size_t& count) const {
    std::string_view token;
    for (size_t i = 0; const auto value = exchange_.header(Side::request, "Authorization", i); ++i) {
      if (!is_bearer(*value)) continue;
      token = after_scheme(*value);
      ++count;
    }
    return token;
  }

  std::string_view find_in_header(size_t& count) const {
    std::string_view token;
    for (; const auto value = exchange_.header(Side::request, config().place_name, count); ++count)
      token = is_bearer(*value) ? after_scheme(*value) : *value;
    return token;
  }

  std::string_view find_in_cookies(size_t& count) const {
    NamedCookies cookies(config().place_name);
    for (size_t i = 0; const auto value = exchange_.header(Side::request, "Cookie", i); ++i) cookies.add(*value);
    count = cookies.count;
    return cookies.value;
  }

  std::string_view find_in_query(size_t& count) const {
    std::string_view token;
    std::string_view query = exchange_.fact(SLUICE_QUERY);
    while (!query.empty()) {
      const std::string_view pair = query.substr(0, query.find('&'));
      query.remove_prefix(std::min(pair.size() + 1, query.size()));
      const size_t equals = pair.find('=');
      if (equals == std::string_view::npos || !decodes_to(pair.substr(0, equals), config().place_name)) continue;
      token = pair.substr(equals + 1);
      ++count;
    }
    return token;
  }

  // --- what it is worth ---

  Verdict check() {
    Worker& state = worker();
    const Micros now = exchange_.worker().now();
    const Micros wall = exchange_.worker().wall();
    if (token_.size() > config().rules.max_bytes) return refuse(Refusal::too_long);
    if (const VerifiedToken* token = state.good.find(token_, now)) {
      if (const Refusal refusal = token->refusal_at(wall); refusal != Refusal::none) {
        state.good.remove(token_);
        return refuse(refusal);
      }
      exchange_.worker().count(config().cached);
      return accept(*token);
    }
    const Digest digest = state.digest_of(token_);
    if (const auto refusal = state.bad.find(digest, now)) return refuse(static_cast<Refusal>(*refusal));

    VerifiedToken token;
    const auto began = std::chrono::steady_clock::now();
    const Refusal refusal = state.verifier.verify(token_, state.keys, wall, token);
    const auto took = std::chrono::steady_clock::now() - began;
    exchange_.worker().observe(config().verify_time, std::chrono::duration_cast<Micros>(took));
    if (refusal == Refusal::key_unknown || (is_of_the_key(refusal) && lacks_a_set())) return without_key();
    if (refusal != Refusal::none) {
      if (refusal != Refusal::not_yet_valid)
        state.bad.put(digest, static_cast<uint32_t>(refusal), now + kBadRemembered);
      return refuse(refusal);
    }
    const Verdict verdict = accept(token);
    state.good.put(token_, std::move(token), now + config().cache_time);
    return verdict;
  }

  static bool is_of_the_key(Refusal refusal) { return refusal == Refusal::signature || refusal == Refusal::algorithm; }
  [[nodiscard]] bool lacks_a_set() const {
    const auto& remotes = worker().remotes;
    return std::any_of(remotes.begin(), remotes.end(), [](const RemoteKeys& remote) { return remote.is_empty(); });
  }

  // It may be new: then its issuer knows it. Whether it does must be known before anyone is refused for it.
  Verdict without_key() {
    bool is_coming = false;
    bool is_uncertain = false;
    for (RemoteKeys& remote : worker().remotes) {
      is_coming = is_coming || remote.is_empty();
      is_uncertain = is_uncertain || remote.is_empty() || remote.is_failing();
      if (!remote.is_empty() && remote.want_more()) is_coming = true;
    }
    if (is_coming) return wait();
    return is_uncertain ? refuse_for_now() : refuse(Refusal::key_unknown);
  }

  Verdict wait() {
    if (!is_waiting_) {
      if (worker().waiting.size() >= kMaxWaiting) return refuse_for_now();
      token_ = exchange_.copy(token_);
      place_ = worker().waiting.insert(worker().waiting.end(), this);
      is_waiting_ = true;
      resume_token_ = exchange_.token();
      timer_.set(exchange_.worker(), config().wait);
    }
    return Verdict::pause;
  }

  void on_wait_over() { resume(refuse_for_now()); }

  void resume(Verdict verdict) {
    end_wait();
    exchange_.worker().resume(resume_token_, verdict);
  }

  void end_wait() {
    if (!std::exchange(is_waiting_, false)) return;
    worker().waiting.erase(place_);
    timer_.cancel();
  }

  // --- what becomes of the request ---

  Verdict accept(const VerifiedToken& token) {
    exchange_.worker().count(config().accepted);
    token.for_each_shared([this](std::string_view name, std::string_view value) { exchange_.set_shared(name, value); });
    token.for_each_header(
        [this](std::string_view name, std::string_view value) { exchange_.set_header(Side::request, name, value); });
    if (!config().forward) remove_token();
    return Verdict::go_on;
  }

  void remove_token() const {
    switch (config().place) {
      case Place::authorization: exchange_.remove_header(Side::request, "Authorization"); break;
      case Place::header: exchange_.remove_header(Side::request, config().place_name); break;
      case Place::cookie: remove_cookie(); break;
      case Place::query: break;
    }
  }

  void remove_cookie() const {
    std::string rest;
    for (size_t i = 0; const auto value = exchange_.header(Side::request, "Cookie", i); ++i)
      leave_out(*value, config().place_name, rest);
    if (rest.empty()) {
      exchange_.remove_header(Side::request, "Cookie");
    } else {
      exchange_.set_header(Side::request, "Cookie", rest);
    }
  }

  Verdict refuse(Refusal refusal) const {
    const auto index = static_cast<size_t>(refusal);
    exchange_.worker().count(config().refused[index]);
    const Header challenge{"WWW-Authenticate", config().challenges[index]};
    return exchange_.respond({.status = refusal == Refusal::scope ? 403u : 401u,
                              .headers = {&challenge, 1},
                              .reason = row(refusal).reason,
                              .detail = row(refusal).text});
  }

  // The issuer's keys are not to be had. That is not the client's fault, so it is never 401.
  Verdict refuse_for_now() const {
    exchange_.worker().count(config().unavailable);
    const Header retry{"Retry-After", "2"};
    return exchange_.respond({.status = 503,
                              .headers = {&retry, 1},
                              .reason = "jwks_unavailable",
                              .detail = "The keys that tokens are verified with cannot be fetched."});
  }

  Exchange exchange_;
  std::string_view token_;
  TimerCall<Filter, &Filter::on_wait_over> timer_;
  std::list<Filter*>::iterator place_;  // among those who wait
  uint64_t resume_token_ = 0;
  bool is_waiting_ = false;

  friend class TimerCall<Filter, &Filter::on_wait_over>;
};

void Worker::on_fetch_over(bool changed) {
  if (changed) bad.clear();
  // Who is told may go on waiting, but nobody comes in between: what is resumed goes on later.
  for (auto at = waiting.begin(); at != waiting.end();) (*at++)->look_again();
}

}  // namespace sluice::jwt

SLUICE_PLUGIN("jwt", "1.0", sluice::jwt::Config, sluice::jwt::Worker, sluice::jwt::Filter)
