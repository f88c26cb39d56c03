#include "filter/worker_instance.h"

#include <algorithm>

#include "base/reason.h"

namespace sluice::filter {

namespace {

constexpr uint64_t kLongestTimerMs = 86'400'000;

sluice_str to_abi(std::string_view text) { return {text.data(), text.size()}; }

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
      series_(std::move(series)) {
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
  owner->operations_.erase(id);
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

void WorkerInstance::cancel(uint64_t id) {
  if ((id & kAlarm) != 0) return alarms_.erase(id & ~kAlarm);
  operations_.erase(id);
}

}  // namespace sluice::filter
