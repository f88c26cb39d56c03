// A gateway for one plugin alone: its clock, timers, stores, upstreams and exchanges are the test's. LoadedPlugin loads the module as it
// was built and configures it; FakeExchange runs its phases. What is made here does not move, and exchanges end before their plugin.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <initializer_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/abi.h"

namespace plugin_test {

/// A value of the configuration, and where it stands ("delay.time").
struct Value {
  Value(const char* scalar) : text(scalar) {}             // NOLINT(google-explicit-constructor)
  Value(std::string scalar) : text(std::move(scalar)) {}  // NOLINT(google-explicit-constructor)

  sluice_node_kind kind = SLUICE_NODE_SCALAR;
  std::string text;
  std::vector<std::pair<std::string, Value>> entries;  // without keys in a list
  std::string path;
};
Value map(std::initializer_list<std::pair<std::string, Value>> entries);
Value list(std::initializer_list<Value> entries);

class FakeHost {
 public:
  FakeHost();
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  /// Lets time go by; timers that are due ring in their order.
  void advance(std::chrono::microseconds time);
  [[nodiscard]] size_t timers() const { return timers_.size(); }
  /// Until the next one rings.
  [[nodiscard]] std::chrono::microseconds next_timer() const;

  /// Answers the command that has waited for the longest.
  void answer_store();
  /// Answers the request that waits.
  void answer_http(uint32_t status, std::string_view body, std::string_view reason = "");
  [[nodiscard]] bool http_waits() const { return http_.done != nullptr; }

  /// The id of a counter, or of a histogram: what it was told is counted.
  uint32_t counter(const std::string& name);
  [[nodiscard]] uint64_t counted(const std::string& name) const;

  static inline sluice_host table{};                        // plugins learn of it once
  std::chrono::microseconds now{std::chrono::hours(1000)};  // the wall's too
  std::map<std::string, std::string> files;
  std::vector<std::string> errors;  // of the configuration: "path: message"
  std::vector<std::string> logged;

  bool store_waits = false;   // until answer_store()
  std::string store_failure;  // the reason, if commands fail
  struct Taken {
    std::string key;
    uint32_t units;
    uint32_t burst;
    std::chrono::microseconds period;
  };
  std::vector<Taken> taken;

  size_t http_requests = 0;

 private:
  friend class LoadedPlugin;
  friend class FakeExchange;
  struct Timer {
    uint64_t id;
    std::chrono::microseconds due;
    sluice_timer_done done;
    void* user;
  };
  struct Asked {
    uint64_t id;
    Taken command;
    sluice_store_done done;
    void* user;
  };
  struct Http {
    uint64_t id = 0;
    sluice_http_done done = nullptr;
    void* user = nullptr;
  };

  void fill_worker_functions();
  void answer(const Asked& asked);

  uint64_t ids_ = 0;
  std::list<Timer> timers_;
  std::list<Asked> asked_;
  std::map<std::string, std::chrono::microseconds> rates_;  // the theoretical arrival times of GCRA
  Http http_;
  std::map<std::string, uint32_t> counters_;
  std::vector<uint64_t> counts_;
};

/// The only worker of a host.
struct FakeWorker : sluice_worker {
  explicit FakeWorker(FakeHost& owner, const void* of_config = nullptr)
      : sluice_worker{sizeof(sluice_worker), of_config, nullptr}, host(owner) {}
  FakeHost& host;
};

class LoadedPlugin {
 public:
  /// sluice_<name>.so of this build. What is wrong with the configuration stands in host.errors.
  LoadedPlugin(FakeHost& host, const std::string& name, Value config);
  ~LoadedPlugin();
  LoadedPlugin(const LoadedPlugin&) = delete;
  LoadedPlugin& operator=(const LoadedPlugin&) = delete;

  FakeHost& host;

 private:
  friend class FakeExchange;
  const sluice_plugin* table_;
  void* config_;
  FakeWorker worker_;
};

/// The errors of a configuration.
std::vector<std::string> errors_of(const std::string& plugin, Value config,
                                   std::map<std::string, std::string> files = {});

using Fields = std::vector<std::pair<std::string, std::string>>;

class FakeExchange {
 public:
  explicit FakeExchange(LoadedPlugin& plugin, Fields request = {});
  ~FakeExchange();
  FakeExchange(const FakeExchange&) = delete;
  FakeExchange& operator=(const FakeExchange&) = delete;

  // The phases; one that the plugin does not have goes on.
  sluice_verdict on_request_start();
  sluice_verdict on_request();
  sluice_verdict on_response();

  /// The values of a field, with commas between them; "-" if there is none.
  [[nodiscard]] std::string sent(std::string_view name) const;      // to the upstream
  [[nodiscard]] std::string received(std::string_view name) const;  // by the client
  /// Of what the plugin answers, likewise.
  [[nodiscard]] std::string answered(std::string_view name) const;

  Fields request;
  Fields response;
  std::map<sluice_fact, std::string> facts;
  std::map<std::string, std::string> shared;
  std::optional<sluice_verdict> resumed;  // of a phase that paused
  uint32_t status = 0;                    // of what the plugin answers
  std::string reason;
  Fields answer;

 private:
  friend class FakeHost;
  struct Filter : sluice_filter {
    explicit Filter(sluice_worker* on, FakeExchange& owner)
        : sluice_filter{sizeof(sluice_filter), on, nullptr}, exchange(owner) {}
    FakeExchange& exchange;
  };

  static FakeExchange& of(sluice_filter* filter) { return static_cast<Filter*>(filter)->exchange; }
  static void fill_functions(sluice_host& table);
  Fields& fields(sluice_side side) { return side == SLUICE_REQUEST ? request : response; }
  sluice_verdict run(sluice_verdict (*phase)(sluice_filter*));
  /// A view that lives as long as the exchange.
  sluice_str kept(const std::string& text);

  LoadedPlugin& plugin_;
  Filter filter_;
  bool begun_ = false;
  std::deque<std::string> kept_;
  std::vector<std::unique_ptr<std::max_align_t[]>> memory_;
};

}  // namespace plugin_test
