#include "filter/worker_instance.h"

#include <algorithm>

#include "base/reason.h"
#include "filter/header_edit.h"
#include "http/parser.h"

namespace sluice::filter {

namespace {

constexpr uint64_t kLongestTimerMs = 86'400'000;

constexpr Millis kLongestFetch{60'000};
constexpr size_t kMaxSent = 128 * 1024;
constexpr size_t kMaxFetched = 1024 * 1024;
constexpr http::MethodSet kFetchMethods = http::method_bit(http::Method::GET) | http::method_bit(http::Method::HEAD) |
                                          http::method_bit(http::Method::POST) | http::method_bit(http::Method::PUT) |
                                          http::method_bit(http::Method::DELETE);

std::string_view text_of(sluice_str text) { return {text.data, text.size}; }
sluice_str to_abi(std::string_view text) { return {text.data(), text.size()}; }

bool is_target(std::string_view text) {
  const auto is_visible = [](char c) { return c > ' ' && c < 0x7f; };
  return text.starts_with('/') && text.size() <= 8192 && std::all_of(text.begin(), text.end(), is_visible);
}

sluice_outcome to_abi(store::Outcome::Kind kind) {
  switch (kind) {
    case store::Outcome::Kind::done: return SLUICE_DONE;
    case store::Outcome::Kind::found: return SLUICE_FOUND;
    case store::Outcome::Kind::absent: return SLUICE_ABSENT;
    case store::Outcome::Kind::refused: return SLUICE_REFUSED;
    case store::Outcome::Kind::failed: break;
  }
  return SLUICE_FAILED;
}

uint32_t phases_of(const sluice_plugin& plugin) {
  const auto bit = [](stats::PluginPhase phase, bool there) { return uint32_t{there} << static_cast<unsigned>(phase); };
  using Phase = stats::PluginPhase;
  return bit(Phase::request_start, plugin.on_request_start != nullptr) |
         bit(Phase::request, plugin.on_request != nullptr) |
         bit(Phase::request_body, plugin.on_request_body != nullptr) |
         bit(Phase::response, plugin.on_response != nullptr) |
         bit(Phase::response_body, plugin.on_response_body != nullptr) |
         bit(Phase::complete, plugin.on_complete != nullptr);
}

}  // namespace

InstanceSeries InstanceSeries::intern(stats::SeriesHold& hold, const Instance& instance) {
  using stats::Family;
  InstanceSeries series;
  series.calls = hold.intern(Family::plugin_calls, {instance.name});
  series.time = hold.intern(Family::plugin_time, {instance.name});
  for (const std::string& name : instance.counters) {
    series.counters.push_back(hold.intern(Family::plugin_events, {instance.name, name}));
  }
  for (const std::string& name : instance.histograms) {
    series.histograms.push_back(hold.intern(Family::plugin_values, {instance.name, name}));
  }
  return series;
}

WorkerInstance::WorkerInstance(Host& host, const Instance& instance, InstanceSeries series)
    : sluice_worker{sizeof(sluice_worker), instance.config, nullptr},
      host_(host),
      instance_(instance),
      plugin_(instance.module->plugin()),
      phases_(phases_of(plugin_)),
      series_(std::move(series)) {
  for (size_t i = 0; i < counters_.size(); ++i) {
    const auto phase = static_cast<stats::PluginPhase>(i);
    counters_[i] = {host.shard().counter(stats::pick(series_.calls, phase)),
                    host.shard().counter(stats::pick(series_.time, phase))};
  }
}

void WorkerInstance::start() {
  if (plugin().start_worker != nullptr) plugin().start_worker(this);
}

WorkerInstance::~WorkerInstance() {
  if (plugin().stop_worker != nullptr) plugin().stop_worker(this);
}

WorkerInstance::StoreOperation::StoreOperation(WorkerInstance& asks, const store::StoreSeries& counts,
                                               store::Operation what, sluice_store_done then, void* with)
    : owner(&asks),
      series(counts),
      operation(what),
      done(then),
      user(with),
      call([](void* self, const store::Outcome& outcome) { static_cast<StoreOperation*>(self)->on_outcome(outcome); },
           this) {}

// Over before the plugin hears of it: it may ask for the next thing, or cancel this one.
void WorkerInstance::StoreOperation::on_outcome(const store::Outcome& outcome) {
  const sluice_store_result result{
      .struct_size = sizeof(sluice_store_result),
      .outcome = to_abi(outcome.kind),
      .value = to_abi(outcome.value),
      .reason = outcome.reason == Reason::none ? sluice_str{} : to_abi(name(outcome.reason)),
      .sum = outcome.sum,
      .retry_after_us = static_cast<uint64_t>(outcome.retry_after.count()),
      .reset_after_us = static_cast<uint64_t>(outcome.reset_after.count()),
      .remaining = outcome.remaining,
  };
  stats::Shard& shard = owner->host_.shard();
  const bool looks_up = operation == store::Operation::get || operation == store::Operation::touch;
  if (outcome.kind == store::Outcome::Kind::failed) shard.add(stats::pick(series.failures, outcome.reason));
  if (outcome.kind == store::Outcome::Kind::absent && looks_up) shard.add(series.misses);
  const sluice_store_done then = done;
  void* const with = user;
  if (id != 0) owner->operations_.erase(id);
  if (then != nullptr) then(with, &result);
}

uint64_t WorkerInstance::submit(uint32_t store, const store::Command& command, sluice_store_done done, void* user) {
  if (store >= stores_.size()) {
    const sluice_store_result never{
        .struct_size = sizeof(never), .outcome = SLUICE_FAILED, .reason = to_abi(name(Reason::store_unavailable))};
    if (done != nullptr) done(user, &never);
    return 0;
  }
  const WorkerStore& chosen = stores_[store];
  host_.shard().add(stats::pick(chosen.series.operations, store::label_of(command.operation)));
  if (chosen.store->answers_at_once()) {
    StoreOperation operation(*this, chosen.series, command.operation, done, user);
    chosen.store->submit(command, &operation.call);
    return 0;
  }
  const uint64_t id = operations_.make(*this, chosen.series, command.operation, done, user);
  StoreOperation& operation = *operations_.find(id);
  operation.id = id;
  chosen.store->submit(command, &operation.call);
  return operations_.find(id) == nullptr ? 0 : id;
}

WorkerInstance::Alarm::Alarm(WorkerInstance& asks, sluice_timer_done then, void* with)
    : owner(&asks),
      done(then),
      user(with),
      timer(
          asks.host_.loop().timers(), [](void* self) { static_cast<Alarm*>(self)->on_time(); }, this) {}

void WorkerInstance::Alarm::on_time() {
  const sluice_timer_done then = done;
  void* const with = user;
  owner->alarms_.erase(id);
  then(with);
}

uint64_t WorkerInstance::start_timer(Millis after, sluice_timer_done done, void* user) {
  const uint64_t id = alarms_.make(*this, done, user);
  Alarm& alarm = *alarms_.find(id);
  alarm.id = id;
  alarm.timer.set(host_.loop().now() + std::min(after, Millis(kLongestTimerMs)));
  return id | kAlarm;
}

WorkerInstance::HttpCall::HttpCall(WorkerInstance& asks, sluice_http_done then, void* with)
    : owner(&asks),
      done(then),
      user(with),
      fetch(
          asks.host_.loop(),
          [](void* self, const upstream::Fetch::Answer& answer) { static_cast<HttpCall*>(self)->on_answer(answer); },
          this) {}

void WorkerInstance::HttpCall::on_answer(const upstream::Fetch::Answer& answer) {
  std::vector<sluice_header> headers;
  for (const http::HeaderField& field : answer.headers) headers.push_back({to_abi(field.name), to_abi(field.value)});
  const sluice_http_result result{
      .struct_size = sizeof(sluice_http_result),
      .status = answer.status,
      .headers = headers.data(),
      .header_count = headers.size(),
      .body = to_abi(answer.body),
      .reason = answer.reason == Reason::none ? sluice_str{} : to_abi(name(answer.reason)),
  };
  answered = true;  // cancelled from inside done(), it still lives till the end of it
  done(user, &result);
  owner->http_calls_.erase(id);
}

uint64_t WorkerInstance::fetch(const sluice_http_request& request, sluice_http_done done, void* user) {
  const uint64_t id = http_calls_.make(*this, done, user);
  HttpCall& call = *http_calls_.find(id);
  call.id = id;
  std::string field_lines;
  bool valid = request.upstream < upstreams_.size();
  for (size_t i = 0; i < request.header_count; ++i) {
    const std::string_view name = text_of(request.headers[i].name), value = text_of(request.headers[i].value);
    valid = valid && is_editable(name) && http::is_field_value(value);
    field_lines.append(name).append(": ").append(value).append("\r\n");
  }
  const upstream::Fetch::Request asked{
      .method = http::method_from(text_of(request.method)),
      .target = text_of(request.target),
      .host = text_of(request.host),
      .field_lines = field_lines,
      .body = text_of(request.body),
      .timeout = std::clamp(Millis(static_cast<int64_t>(request.timeout_ms)), Millis(1), kLongestFetch),
      .max_body = std::min<uint64_t>(request.max_body_bytes, kMaxFetched),
  };
  valid = valid && (kFetchMethods & http::method_bit(asked.method)) != 0 && is_target(asked.target) &&
          http::is_field_value(asked.host) && field_lines.size() <= kMaxSent && asked.body.size() <= kMaxSent;
  if (valid) {
    call.fetch.start(*upstreams_[request.upstream], asked);
  } else {
    call.fetch.refuse(Reason::plugin_failed);
  }
  return id | kHttpCall;
}

void WorkerInstance::cancel(uint64_t id) {
  if ((id & kHttpCall) != 0) {
    const HttpCall* call = http_calls_.find(id & ~kHttpCall);
    if (call == nullptr || call->answered) return;
    return http_calls_.erase(id & ~kHttpCall);
  }
  if ((id & kAlarm) != 0) return alarms_.erase(id & ~kAlarm);
  operations_.erase(id);
}

}  // namespace sluice::filter
