// WorkerInstance: an instance on one worker: its state there, its counters, and what it asked for and waits for (stores,
// upstreams, timers). Owned by the generations that have it, worker thread only. `handle` is what the plugin sees of it.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "base/slot_table.h"
#include "event/timer_wheel.h"
#include "filter/host.h"
#include "filter/instance.h"
#include "stats/registry.h"
#include "store/series.h"
#include "store/store.h"
#include "upstream/fetch.h"

namespace sluice::filter {

/// A store as one worker has it.
struct WorkerStore {
  std::shared_ptr<store::Store> store;
  store::StoreSeries series;
};

/// Where one instance counts; interned on the control thread.
struct InstanceSeries {
  stats::SeriesId calls = stats::kSink;  // a run, by phase
  stats::SeriesId time = stats::kSink;   // likewise
  std::vector<stats::SeriesId> counters;
  std::vector<stats::SeriesId> histograms;

  static InstanceSeries intern(stats::SeriesHold& hold, const Instance& instance);
};

class WorkerInstance : private sluice_worker {
 public:
  WorkerInstance(Host& host, const Instance& instance, InstanceSeries series);
  ~WorkerInstance();
  WorkerInstance(const WorkerInstance&) = delete;
  WorkerInstance& operator=(const WorkerInstance&) = delete;

  static WorkerInstance& of(sluice_worker* handle) { return *static_cast<WorkerInstance*>(handle); }
  [[nodiscard]] sluice_worker* handle() { return this; }

  [[nodiscard]] Host& host() { return host_; }
  [[nodiscard]] const Instance& instance() const { return instance_; }
  [[nodiscard]] const sluice_plugin& plugin() const { return plugin_; }
  [[nodiscard]] const InstanceSeries& series() const { return series_; }
  /// The plugin takes part in the phase.
  [[nodiscard]] bool has(stats::PluginPhase phase) const { return (phases_ >> static_cast<unsigned>(phase) & 1) != 0; }
  /// The plugin was called, and took so long.
  void count_call(stats::PluginPhase phase, uint64_t nanos) {
    PhaseCounters& counters = counters_[static_cast<size_t>(phase)];
    counters.calls.add();
    counters.time.add(nanos);
  }

  /// What the names of Instance::stores mean from now on, in their order.
  void set_stores(std::vector<WorkerStore> stores) { stores_ = std::move(stores); }

  /// Likewise of Instance::upstreams.
  void set_upstreams(std::vector<std::shared_ptr<upstream::Cluster>> upstreams) { upstreams_ = std::move(upstreams); }

  /// Once, when it has both: a plugin may ask for something as soon as it starts.
  void start();

  // For the host's table.
  uint64_t submit(uint32_t store, const store::Command& command, sluice_store_done done, void* user);
  uint64_t start_timer(Millis after, sluice_timer_done done, void* user);
  uint64_t fetch(const sluice_http_request& request, sluice_http_done done, void* user);
  void cancel(uint64_t id);

 private:
  struct StoreOperation {
    WorkerInstance* owner;
    uint64_t id = 0;  // 0: it is over before submit() returns
    store::StoreSeries series;
    store::Operation operation;
    sluice_store_done done;
    void* user;
    store::Call call;

    StoreOperation(WorkerInstance& asks, const store::StoreSeries& counts, store::Operation what,
                   sluice_store_done then, void* with);
    void on_outcome(const store::Outcome& outcome);
  };
  struct Alarm {
    WorkerInstance* owner;
    uint64_t id = 0;
    sluice_timer_done done;
    void* user;
    event::Timer timer;

    Alarm(WorkerInstance& asks, sluice_timer_done then, void* with);
    void on_time();
  };
  struct HttpCall {
    WorkerInstance* owner;
    uint64_t id = 0;
    sluice_http_done done;
    void* user;
    bool answered = false;  // the plugin is being told
    upstream::Fetch fetch;

    HttpCall(WorkerInstance& asks, sluice_http_done then, void* with);
    void on_answer(const upstream::Fetch::Answer& answer);
  };
  // In an id: what it is that of. A store operation has neither.
  static constexpr uint64_t kAlarm = uint64_t{1} << 31;
  static constexpr uint64_t kHttpCall = uint64_t{1} << 30;

  Host& host_;
  const Instance& instance_;
  const sluice_plugin& plugin_;
  uint32_t phases_;  // bit by bit
  struct PhaseCounters {
    stats::Shard::Counter calls;
    stats::Shard::Counter time;
  };
  std::array<PhaseCounters, static_cast<size_t>(stats::PluginPhase::complete) + 1> counters_;
  InstanceSeries series_;
  std::vector<WorkerStore> stores_;
  SlotTable<StoreOperation> operations_;
  std::vector<std::shared_ptr<upstream::Cluster>> upstreams_;
  SlotTable<Alarm> alarms_;
  SlotTable<HttpCall> http_calls_;
};

}  // namespace sluice::filter
