#include "filter/chain.h"

#include <algorithm>

#include "base/log.h"

namespace sluice::filter {

namespace {
// A plugin that never resumes must not hold a client for ever. What plugins wait for has deadlines of its own, far below.
constexpr Seconds kLongestPause{60};
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
  for (WorkerInstance* instance : instances) {
    SL_ASSERT(count_ < kMaxFilters);
    auto* filter = new (subject_.arena().allocate(sizeof(Filter))) Filter{};
    filter->struct_size = sizeof(sluice_filter);
    filter->worker = instance->handle();
    filter->chain = this;
    filters_[count_++] = filter;
    wants_request_body_ = wants_request_body_ || instance->plugin().on_request_body != nullptr;
  }
}

bool Chain::wants_response_body() const {
  if (replacing_) return true;
  return std::any_of(filters_.begin(), filters_.begin() + sees_response_body_, [](const Filter* filter) {
    return !filter->skips_body && filter->instance().plugin().on_response_body != nullptr;
  });
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
    sees_response_body_ = entered_;
  }
  if (phase == Phase::response) {
    if (response_.waiting && !response_.resumed) end_wait(response_);  // another answer came instead
    if (response_.phase == Phase::response_body) return Step::next;
  } else if (!response_.resumed) {
    response_.next = sees_response_body_;
  }
  response_.phase = phase;
  return run(response_, data, last);
}

Chain::Step Chain::run(Direction& direction, std::string_view data, bool last) {
  if (std::exchange(direction.resumed, false)) {
    const sluice_verdict verdict = direction.verdict;
    const bool request = &direction == &request_;
    Filter& paused = *filters_[request ? direction.next : direction.next - 1];
    if (verdict != SLUICE_CONTINUE) return judge(paused, direction, verdict);
    if (request && body_reader_ == kNobody) ++direction.next;
    if (request && body_reader_ != kNobody) return Step::next;
    if (!request) --direction.next;
  }
  if (&direction == &response_) {
    for (; direction.next > 0; --direction.next) {
      Filter& filter = *filters_[direction.next - 1];
      const sluice_verdict verdict = call(filter, direction.phase, data, last);
      if (verdict != SLUICE_CONTINUE) return judge(filter, direction, verdict);
    }
    return Step::next;
  }
  const size_t end = body_reader_ == kNobody ? count_ : body_reader_ + 1;
  for (; direction.next < end; ++direction.next) {
    Filter& filter = *filters_[direction.next];
    entered_ = std::max(entered_, direction.next + 1);
    const sluice_verdict verdict = call(filter, direction.phase, data, last);
    if (verdict != SLUICE_CONTINUE) return judge(filter, direction, verdict);
  }
  return Step::next;
}

sluice_verdict Chain::call(Filter& filter, Phase phase, std::string_view data, bool last) {
  const sluice_plugin& plugin = filter.instance().plugin();
  const sluice_str piece{data.data(), data.size()};
  const auto index = static_cast<size_t>(phase);
  const uint64_t began = TickClock::now();
  sluice_verdict verdict = SLUICE_CONTINUE;
  calling_ = phase;
  switch (phase) {
    case Phase::request_start:
      if (plugin.on_request_start == nullptr) return SLUICE_CONTINUE;
      verdict = plugin.on_request_start(&filter);
      break;
    case Phase::request:
      if (plugin.on_request == nullptr) return SLUICE_CONTINUE;
      verdict = plugin.on_request(&filter);
      break;
    case Phase::request_body:
      if (plugin.on_request_body == nullptr) return SLUICE_CONTINUE;
      verdict = plugin.on_request_body(&filter, piece, last ? 1 : 0);
      break;
    case Phase::response:
      if (plugin.on_response == nullptr) return SLUICE_CONTINUE;
      verdict = plugin.on_response(&filter);
      break;
    case Phase::response_body:
      if (plugin.on_response_body == nullptr || filter.skips_body) return SLUICE_CONTINUE;
      verdict = plugin.on_response_body(&filter, piece, last ? 1 : 0);
      break;
    case Phase::complete: return SLUICE_CONTINUE;
  }
  calling_ = Phase::complete;
  filter.ticks[index] += TickClock::now() - began;
  ++filter.calls[index];
  Direction& direction = direction_of(phase);
  if (verdict == SLUICE_PAUSE) {
    if (host_.take_early(direction.token, direction.verdict)) {
      direction.token = 0;
      verdict = direction.verdict;
    }
  } else {
    end_wait(direction);  // it asked for a token and did not need it
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
        --direction.next;
        sees_response_body_ = direction.next;
        replacing_ = false;  // those who wanted to do not see this answer
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
    sees_response_body_ = --direction.next;
    replacing_ = false;
  }
  return Step::respond;
}

const Chain::Shared* Chain::find_shared(std::string_view key) const {
  const Shared* at = shared_;
  while (at != nullptr && at->key != key) at = at->next;
  return at;
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

void Chain::end_wait(Direction& direction) {
  host_.drop_token(std::exchange(direction.token, 0));
  direction.waiting = false;
}

void Chain::on_pause_too_long() {
  Direction& direction = request_.waiting ? request_ : response_;
  const size_t index = &direction == &request_ ? direction.next : direction.next - 1;
  log::error("plugin \"{}\" paused a request for more than {} s (request {})",
             filters_[index]->instance().instance().name, kLongestPause.count(), subject_.fact(SLUICE_REQUEST_ID));
  end_wait(direction);
  answer_ = {.status = row(Reason::plugin_timeout).status, .failure = Reason::plugin_timeout};
  direction.resumed = true;
  direction.verdict = SLUICE_RESPOND;
  subject_.on_resumed(direction.phase);
}

void Chain::complete(const sluice_summary& summary) {
  end_wait(request_);
  end_wait(response_);
  pause_timer_.cancel();
  stats::Shard& shard = host_.shard();
  for (size_t i = 0; i < entered_; ++i) {
    Filter& filter = *filters_[i];
    const sluice_plugin& plugin = filter.instance().plugin();
    if (plugin.on_complete != nullptr) {
      constexpr auto kLast = static_cast<size_t>(Phase::complete);
      const uint64_t began = TickClock::now();
      plugin.on_complete(&filter, &summary);
      filter.ticks[kLast] += TickClock::now() - began;
      ++filter.calls[kLast];
    }
    const InstanceSeries& series = filter.instance().series();
    for (unsigned phase = 0; phase < kPhases; ++phase) {
      if (filter.calls[phase] == 0) continue;
      shard.add(stats::pick(series.calls, static_cast<Phase>(phase)), filter.calls[phase]);
      shard.add(stats::pick(series.time, static_cast<Phase>(phase)), host_.ticks().nanos(filter.ticks[phase]));
    }
  }
}

}  // namespace sluice::filter
