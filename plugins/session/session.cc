// session: who holds the id in a cookie has a session in the store; the upstream learns whose it is and what it keeps there, and says
// in its answers what is to become of it. This file is the way in: finding the session.
#include "session/filter.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base64.h"
#include "common/header_syntax.h"
#include "common/strip_fields.h"

namespace sluice::session {

namespace {

constexpr size_t kMostKeyBytes = 256;
constexpr size_t kMostValueBytes = 48 * 1024;  // more than a session can have, less than can be kept in an exchange
constexpr int kMostHops = 16;                  // a chain of ids that were changed within one grace
constexpr size_t kLongestUrl = 4096;           // in a redirect

// The path and query of a request as a value in a query. Never what a browser takes for another host: "//", or "/\".
std::string escaped_target(std::string_view path, std::string_view query) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  path.remove_prefix(std::min(path.find_first_not_of("/\\"), path.size()));
  std::string text = "%2F";
  const auto escape = [&](std::string_view part) {
    for (const char c : part) {
      const bool plain = (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '.' ||
                         c == '_' || c == '~';
      if (plain) {
        text += c;
      } else {
        const auto byte = static_cast<uint8_t>(c);
        ((text += '%') += kHex[byte >> 4]) += kHex[byte & 15];
      }
    }
  };
  escape(path);
  if (!query.empty()) {
    text += "%3F";
    escape(query);
  }
  return text.size() <= kLongestUrl ? text : "%2F";
}

}  // namespace

// --- both sides ---

std::string_view Filter::key(char kind, std::string_view text) const {
  std::array<char, kMostKeyBytes> made;
  size_t size = config().prefix.copy(made.data(), made.size());
  made[size++] = kind;
  made[size++] = ':';
  size += text.copy(made.data() + size, made.size() - size);
  return exchange_.copy({made.data(), size});
}

std::string_view Filter::session_key(const Digest& digest) const {
  std::array<char, base64url_size(sizeof(digest))> text;
  return key('s', encode_base64url(as_text(digest), text));
}

std::string_view Filter::tag_of(std::string_view subject) const {
  std::array<char, kIdBytes> text;
  const Digest digest = worker().sha256({config().prefix, subject});
  return exchange_.copy(encode_base64url(as_text(digest).substr(0, 16), text));
}

void Filter::strip_own_fields(Side side) const { strip_prefixed(exchange_, side, config().header_prefix); }

std::string_view Filter::keep(std::string_view value) const {
  return value.size() <= kMostValueBytes ? exchange_.copy(value) : std::string_view();
}

void Filter::tell(const StoreCommand& command) const {
  const sluice_store_command given = decltype(change_call_)::to_command(command);
  host->store(exchange_.worker().raw(), config().store, &given, nullptr, nullptr);
}

void Filter::drop(std::string_view key, const Record& record) const {
  const std::string front = record.front();
  tell({.operation = SLUICE_REMOVE_IF, .key = key, .expected = front});
}

Verdict Filter::verdict_or_pause() {
  if (verdict_) return *verdict_;
  token_ = exchange_.token();
  return Verdict::pause;
}

void Filter::decide(Verdict verdict) {
  verdict_ = verdict;
  if (token_ != 0) exchange_.worker().resume(std::exchange(token_, 0), verdict);
}

// --- the request ---

Verdict Filter::on_begin() {
  if (config().outlive_client) exchange_.outlive_client();
  strip_own_fields(Side::request);
  NamedCookies cookies(config().cookie);
  for (size_t i = 0; const auto field = exchange_.header(Side::request, "Cookie", i); ++i) cookies.add(*field);
  const auto value = parse_cookies(cookies);
  if (cookies.count > 0 && !config().forward_cookie) strip_cookie(cookies);
  if (cookies.count == 0) return missing(config().missing, "session_missing", "A session is needed; log in.");
  if (!value) return missing(config().forged, "session_invalid", "The cookie of the session is malformed; log in.");

  const Digest digest = worker().sha256({value->id});
  std::memcpy(&touch_key_, digest.data(), sizeof(touch_key_));
  cookie_key_ = session_key(digest);
  tag_ = value->tag;
  const auto now = exchange_.worker().now();
  touches_ = !worker().touched.was_touched(touch_key_, now - config().idle / 10);
  waits_for_ = tag_.empty() ? 1 : 2;
  session_call_.ask(exchange_.worker(), config().store,
                    {.operation = touches_ ? SLUICE_TOUCH : SLUICE_GET, .key = cookie_key_, .ttl = config().idle});
  if (!tag_.empty())
    generation_call_.ask(exchange_.worker(), config().store, {.operation = SLUICE_GET, .key = generation_key(tag_)});
  return verdict_or_pause();
}

void Filter::strip_cookie(const NamedCookies& cookies) const {
  std::string& kept = worker().cookies;
  kept.clear();
  for (size_t i = 0; const auto field = exchange_.header(Side::request, "Cookie", i); ++i)
    leave_out(*field, cookies.name, kept);
  if (kept.empty() || !exchange_.set_header(Side::request, "Cookie", kept))
    exchange_.remove_header(Side::request, "Cookie");
}

void Filter::on_session(const StoreResult& result) {
  if (result.outcome == SLUICE_FAILED) failure_ = exchange_.copy(result.reason);
  if (result.outcome == SLUICE_FOUND) value_ = keep(result.value);
  if (--waits_for_ == 0) judge();
}

void Filter::on_generation(const StoreResult& result) {
  if (result.outcome == SLUICE_FAILED) failure_ = exchange_.copy(result.reason);
  if (result.outcome == SLUICE_FOUND) generation_ = keep(result.value);
  if (--waits_for_ == 0) judge();
}

void Filter::judge() {
  const auto ended = [this] { decide(missing(config().expired, "session_expired", "The session is over; log in.")); };
  if (!failure_.empty()) return decide(without_store(failure_));
  const auto record = parse_record(value_);
  if (!record) return ended();
  record_ = *record;
  switch (standing_of(record_, !tag_.empty(), generation_, wall_ms())) {
    case Standing::good: break;
    case Standing::over:
      if (record_.kind == Record::Kind::live) drop(cookie_key_, record_);
      return ended();
    case Standing::logged_out:
      // Unless the subject's sessions were ended, somebody changed the tag, to escape from that.
      if (record_.subject.empty() != tag_.empty() || (!tag_.empty() && tag_of(record_.subject) != tag_))
        return decide(missing(config().forged, "session_invalid", "The cookie of the session is malformed; log in."));
      drop(cookie_key_, record_);
      return ended();
  }
  if (record_.kind == Record::Kind::live) return accept();
  stale_ = true;
  successor_call_.ask(exchange_.worker(), config().store, {.operation = SLUICE_GET, .key = key('s', record_.mark)});
}

// Under its old id a session is what it was when it got the new one, and lives no longer than what it became.
void Filter::on_successor(const StoreResult& result) {
  if (result.outcome == SLUICE_FAILED) return decide(without_store(result.reason));
  const auto record = parse_record(result.value);
  const bool good =
      record && standing_of(*record, !tag_.empty(), generation_, wall_ms()) == Standing::good && ++hops_ <= kMostHops;
  if (!good) return decide(missing(config().expired, "session_expired", "The session is over; log in."));
  if (record->kind == Record::Kind::live) return accept();
  successor_call_.ask(exchange_.worker(), config().store, {.operation = SLUICE_GET, .key = key('s', record->mark)});
}

void Filter::accept() {
  has_session_ = true;
  count(stale_ ? config().grace : config().found);
  if (touches_ && !stale_) worker().touched.note(touch_key_, exchange_.worker().now());
  if (!record_.subject.empty()) {
    exchange_.set_header(Side::request, config().subject_header, record_.subject);
    exchange_.set_shared("session.subject", record_.subject);
  }
  exchange_.set_header(Side::request, config().data_header, record_.data);
  decide(Verdict::go_on);
}

Verdict Filter::missing(uint32_t counter, std::string_view reason, std::string_view detail) {
  count(counter);
  if (config().on_missing == OnMissing::anonymous) return Verdict::go_on;
  if (config().on_missing == OnMissing::redirect) return redirect();
  const std::string challenge =
      "Cookie cookie-name=\"" + config().cookie + '"';  // RFC 9110 wants one, and none is registered
  const Header header{"WWW-Authenticate", challenge};
  return exchange_.respond({.status = 401, .headers = {&header, 1}, .reason = reason, .detail = detail});
}

Verdict Filter::redirect() {
  std::string location = config().redirect_front;
  if (config().redirect_has_url) location += escaped_target(exchange_.fact(SLUICE_PATH), exchange_.fact(SLUICE_QUERY));
  location += config().redirect_back;
  const Header header{"Location", location};
  return exchange_.respond({.status = 303, .headers = {&header, 1}});
}

// Whether there is a session, nobody knows. That is not the client's fault: never 401, and no way to the login.
Verdict Filter::without_store(std::string_view reason) {
  count(config().store_errors);
  if (config().open_on_store_error) return Verdict::go_on;
  return unavailable(reason, "The store of the sessions does not answer.");
}

Verdict Filter::unavailable(std::string_view reason, std::string_view detail) const {
  const Header retry{"Retry-After", "1"};
  return exchange_.respond({.status = 503, .headers = {&retry, 1}, .reason = reason, .detail = detail});
}

}  // namespace sluice::session

SLUICE_PLUGIN("session", "1.0", sluice::session::Config, sluice::session::Worker, sluice::session::Filter)
