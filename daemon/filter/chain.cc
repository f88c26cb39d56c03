#include "filter/chain.h"

#include <algorithm>

#include "base/cgi_name.h"
#include "base/log.h"

namespace sluice::filter {

namespace {
// A plugin that never resumes must not hold a client for ever. What plugins wait for has deadlines of its own, far below.
constexpr Seconds kLongestPause{60};
// What a replacer may make of one piece for other filters to see.
constexpr size_t kMaxRewritten = 1024 * 1024;
}  // namespace

Chain::Chain(Host& host, Subject& subject)
    : host_(host),
      subject_(subject),
      pause_timer_(
          host.loop().timers(), [](void* self) { static_cast<Chain*>(self)->on_pause_too_long(); }, this) {}

Chain::~Chain() {
  end_wait(request_);
  end_wait(response_);
}

void Chain::add(std::span<WorkerInstance* const> instances) {
  SL_ASSERT(count_ + instances.size() <= kMaxFilters);
  const auto memory = subject_.arena().allocate_array<Filter>(instances.size());
  for (size_t i = 0; i < instances.size(); ++i) {
    const auto index = static_cast<uint32_t>(count_);
    filters_[count_++] =
        new (&memory[i]) Filter{{sizeof(sluice_filter), instances[i]->handle(), nullptr}, this, {}, index};
    if (instances[i]->has(Phase::request_body)) wants_request_body_ = true;
    if (instances[i]->has(Phase::response_body)) body_readers_ |= FilterSet{1} << index;
  }
}

Chain::Step Chain::run_request(Phase phase, std::string_view data, bool last) {
  if (!request_.resumed) {
    // Each phase, and each piece of a body, begins at the first filter; but if the request waits, its body is the reader's.
    request_.next = body_reader_ == kNobody ? 0 : body_reader_;
    request_.phase = phase;
  }
  const Step step = run(request_, data, last);
  if (body_reader_ == kNobody || phase != Phase::request_body || step != Step::next) return step;
  return last ? fail(*filters_[body_reader_], request_, Reason::plugin_failed,
                     "gave no answer after it had read the body")
              : Step::read_body;
}

Chain::Step Chain::run_response(Phase phase, std::string_view data, bool last) {
  if (!response_began_) {
    response_began_ = true;
    response_.next = entered_;
    response_.phase = Phase::response;
    let_see_response(entered_);
    // There is an answer: what the request's head still waits for is of no use. Its body may go on.
    if (request_.phase != Phase::request_body) end_wait(request_);
  }
  if (phase == Phase::response) {
    if (response_.waiting && !response_.resumed) {
      // Another answer came instead. Filters that let the first one pass have nothing to do with this one.
      end_wait(response_);
      let_see_response(response_.next);
    }
    if (response_.phase == Phase::response_body) return Step::next;
    return run(response_, data, last);
  }
  if (!response_.resumed) response_.next = sees_response_;
  response_.phase = phase;
  return run_response_body(data, last);
}

// True: it goes on, behind the filter that paused if one did. Else `step` says what became of it.
bool Chain::go_on_after_pause(Direction& direction, Step& step) {
  if (!std::exchange(direction.resumed, false)) return true;
  const bool request = &direction == &request_;
  if (direction.verdict != SLUICE_CONTINUE) {
    step = judge(*filters_[request ? direction.next : direction.next - 1], direction, direction.verdict);
    return false;
  }
  if (!request) {
    --direction.next;
    return true;
  }
  if (body_reader_ == kNobody) ++direction.next;
  step = Step::next;
  return body_reader_ == kNobody;
}

inline sluice_verdict Chain::enter(Filter& filter, Phase phase, std::string_view data, bool last) {
  const sluice_plugin& plugin = filter.instance().plugin();
  const sluice_str piece{data.data(), data.size()};
  switch (phase) {
    case Phase::request_start: return plugin.on_request_start(&filter);
    case Phase::request: return plugin.on_request(&filter);
    case Phase::request_body: return plugin.on_request_body(&filter, piece, last ? 1 : 0);
    case Phase::response: return plugin.on_response(&filter);
    case Phase::response_body: return plugin.on_response_body(&filter, piece, last ? 1 : 0);
    case Phase::complete: break;
  }
  return SLUICE_CONTINUE;
}

// Before the first call of several: each but the first begins when the one before it ended.
inline void Chain::begin_calls() {
  last_ticks_ = TickClock::now();
  host_.ticks().follow(last_ticks_);
}

// The counters of this thread, and what the log will say.
inline void Chain::account(Filter& filter, Phase phase) {
  const uint64_t now = TickClock::now();
  const uint64_t ticks = now - std::exchange(last_ticks_, now);
  filter.ticks[static_cast<size_t>(phase)] += ticks;
  filter.instance().count_call(phase, host_.ticks().nanos(ticks));
}

// What the filter says; SLUICE_CONTINUE if it has nothing to do with the phase.
inline sluice_verdict Chain::call(Filter& filter, Direction& direction, std::string_view data, bool last) {
  const Phase phase = direction.phase;
  if (!filter.instance().has(phase)) return SLUICE_CONTINUE;
  calling_ = phase;
  const sluice_verdict verdict = enter(filter, phase, data, last);
  calling_ = Phase::complete;
  account(filter, phase);
  return direction.token == 0 ? verdict : settle_token(direction, verdict);
}

Chain::Step Chain::run(Direction& direction, std::string_view data, bool last) {
  Step step = Step::next;
  if (!go_on_after_pause(direction, step)) return step;
  const bool backwards = &direction == &response_;
  const size_t end = backwards ? 0 : body_reader_ == kNobody ? count_ : body_reader_ + 1;
  begin_calls();
  while (direction.next != end) {
    Filter& filter = *filters_[backwards ? direction.next - 1 : direction.next];
    if (!backwards) entered_ = std::max(entered_, direction.next + 1);
    const sluice_verdict verdict = call(filter, direction, data, last);
    if (verdict != SLUICE_CONTINUE) return judge(filter, direction, verdict);
    backwards ? --direction.next : ++direction.next;
  }
  return Step::next;
}

// What a filter makes of a piece is the piece for those before it.
Chain::Step Chain::run_response_body(std::string_view data, bool last) {
  Step step = Step::next;
  if (!go_on_after_pause(response_, step)) return step;
  begin_calls();
  for (; response_.next > 0; --response_.next) {
    Filter& filter = *filters_[response_.next - 1];
    if ((readers_ & bit_of(filter)) == 0) continue;
    const sluice_verdict verdict = call(filter, response_, rewritten_ ? piece_ : data, last);
    if ((replacers_ & bit_of(filter)) != 0) {
      rewritten_ = is_read_after(filter);
      piece_.swap(written_);
      written_.clear();
    }
    if (wrote_too_much_) return fail(filter, response_, Reason::plugin_failed, "wrote more than can be held");
    if (verdict != SLUICE_CONTINUE) return judge(filter, response_, verdict);
  }
  if (std::exchange(rewritten_, false)) subject_.write_response_body(piece_);
  piece_.clear();
  return Step::next;
}

void Chain::let_see_response(size_t count) {
  const FilterSet all = count == kMaxFilters ? ~FilterSet{0} : (FilterSet{1} << count) - 1;
  sees_response_ = count;
  readers_ = body_readers_ & all;
  replacers_ = 0;  // those who wanted to do not see this response
}

void Chain::write_body(Filter& filter, std::string_view bytes) {
  if (calling_ != Phase::response_body || (replacers_ & bit_of(filter)) == 0) return;
  if (!is_read_after(filter)) return subject_.write_response_body(bytes);
  wrote_too_much_ = wrote_too_much_ || written_.size() + bytes.size() > kMaxRewritten;
  if (!wrote_too_much_) written_ += bytes;
}

// The filter asked for a token: it pauses, or was resumed before it returned, or did not need it.
sluice_verdict Chain::settle_token(Direction& direction, sluice_verdict verdict) {
  if (verdict != SLUICE_PAUSE) {
    end_wait(direction);
  } else if (host_.take_early(direction.token, direction.verdict)) {
    direction.token = 0;
    verdict = direction.verdict;
  }
  return verdict;
}

Chain::Step Chain::judge(Filter& filter, Direction& direction, sluice_verdict verdict) {
  switch (verdict) {
    case SLUICE_PAUSE:
      if (direction.token == 0) return fail(filter, direction, Reason::plugin_failed, "paused without a token");
      direction.waiting = true;
      pause_timer_.set(host_.loop().now() + kLongestPause);
      return Step::wait;
    case SLUICE_READ_BODY:
      if (direction.phase != Phase::request || filter.instance().plugin().on_request_body == nullptr) break;
      body_reader_ = direction.next;
      return Step::read_body;
    case SLUICE_RESPOND:
      if (answer_.status == 0) return fail(filter, direction, Reason::plugin_failed, "did not say what to respond");
      if (&direction == &response_) {
        let_see_response(--direction.next);  // the others have nothing to do with this answer
      }
      return Step::respond;
    default: break;
  }
  return fail(filter, direction, Reason::plugin_failed, "answered a phase with a verdict that has no meaning there");
}

Chain::Step Chain::fail(Filter& filter, Direction& direction, Reason reason, const char* why) {
  log::error("plugin \"{}\" {} (request {})", filter.instance().instance().name, why, subject_.fact(SLUICE_REQUEST_ID));
  answer_ = {.status = row(reason).status, .failure = reason};
  if (&direction == &response_ && direction.next > 0) {
    let_see_response(--direction.next);
  }
  return Step::respond;
}

const Chain::Shared* Chain::find_shared(std::string_view key) const {
  const Shared* at = shared_;
  while (at != nullptr && at->key != key) at = at->next;
  return at;
}

bool Chain::drops_trailer(std::string_view name) const {
  const auto is_ours = [name](std::string_view prefix) { return cgi_begins_with(name, prefix); };
  return std::any_of(filters_.begin(), filters_.begin() + entered_, [&](const Filter* filter) {
    const auto& prefixes = filter->instance().instance().dropped_trailers;
    return std::any_of(prefixes.begin(), prefixes.end(), is_ours);
  });
}

bool Chain::find_claim(std::string_view name, std::string_view& value) const {
  constexpr std::string_view kPrefix = "jwt.";
  for (const Shared* at = shared_; at != nullptr; at = at->next) {
    if (!at->key.starts_with(kPrefix) || at->key.substr(kPrefix.size()) != name) continue;
    value = at->value;
    return true;
  }
  return false;
}

void Chain::go_on(uint64_t token, sluice_verdict verdict) {
  Direction& direction = request_.token == token ? request_ : response_;
  if (direction.token != token || !direction.waiting) return;
  direction.token = 0;
  direction.waiting = false;
  direction.resumed = true;
  direction.verdict = verdict;
  if (!request_.waiting && !response_.waiting) pause_timer_.cancel();
  subject_.on_resumed(direction.phase);
}

bool Chain::is_in(Phase phase, const sluice_filter* filter) {
  if (calling_ == phase) return true;
  const Direction& direction = direction_of(phase);
  if (!direction.waiting || direction.phase != phase) return false;
  return filters_[&direction == &request_ ? direction.next : direction.next - 1] == filter;
}

void Chain::drop_token(Direction& direction) {
  host_.drop_token(std::exchange(direction.token, 0));
  direction.waiting = false;
  if (!request_.waiting && !response_.waiting) pause_timer_.cancel();
}

void Chain::on_pause_too_long() {
  Direction& direction = request_.waiting ? request_ : response_;
  const size_t index = &direction == &request_ ? direction.next : direction.next - 1;
  log::error("plugin \"{}\" paused a request for more than {} s (request {})",
             filters_[index]->instance().instance().name, kLongestPause.count(), subject_.fact(SLUICE_REQUEST_ID));
  end_wait(direction);
  if (request_.waiting || response_.waiting) pause_timer_.set(host_.loop().now() + kLongestPause);
  answer_ = {.status = row(Reason::plugin_timeout).status, .failure = Reason::plugin_timeout};
  direction.resumed = true;
  direction.verdict = SLUICE_RESPOND;
  subject_.on_resumed(direction.phase);
}

void Chain::complete(const sluice_summary& summary) {
  end_wait(request_);
  end_wait(response_);
  pause_timer_.cancel();
  begin_calls();
  for (size_t i = 0; i < entered_; ++i) {
    Filter& filter = *filters_[i];
    if (!filter.instance().has(Phase::complete)) continue;
    filter.instance().plugin().on_complete(&filter, &summary);
    account(filter, Phase::complete);
  }
}

}  // namespace sluice::filter
