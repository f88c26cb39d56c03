// The interface of abi.h for C++20: a plugin is a Config, and a Filter with a member function for each phase that it takes part in.
// Nothing here crosses the interface but what abi.h says. Header only; README.md shows a plugin from its first line to its test.
//
//   struct Config { explicit Config(sluice::Setup& setup); ... };      // immutable, shared by all workers
//   struct Worker { explicit Worker(sluice::WorkerHandle worker); };    // optional: one for each worker: caches
//   struct Filter { explicit Filter(sluice::Exchange exchange);         // one for each exchange
//                   sluice::Verdict on_request(); ... };
//   SLUICE_PLUGIN("name", "1.0", Config, Worker, Filter)                // or sluice::NoWorker
//
// In the place of on_request_start() and on_request() a Filter may have on_begin(), which is called in the first of them that comes:
// before routing for a listener's plugin, before the upstream for a route's.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "abi.h"

namespace sluice {

inline sluice_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view to_view(sluice_str text) { return {text.data, text.size}; }

/// Set once, by the first configure(); the same for every instance.
inline const sluice_host* host = nullptr;

enum class Verdict : sluice_verdict {
  go_on = SLUICE_CONTINUE,
  pause = SLUICE_PAUSE,
  respond = SLUICE_RESPOND,
  read_body = SLUICE_READ_BODY,
};
enum class Side : sluice_side { request = SLUICE_REQUEST, response = SLUICE_RESPONSE };

// --- configuration ---

/// A value of the configuration, or nothing if the key is absent. Reading functions leave `value` as it is then, and after an
/// error, which the host has reported.
class Node {
 public:
  Node(sluice_setup* setup, const sluice_node* node) : setup_(setup), node_(node) {}

  explicit operator bool() const { return node_ != nullptr; }
  [[nodiscard]] bool is_list() const { return node_ != nullptr && setup_->kind(setup_, node_) == SLUICE_NODE_LIST; }
  [[nodiscard]] bool is_map() const { return node_ != nullptr && setup_->kind(setup_, node_) == SLUICE_NODE_MAP; }
  [[nodiscard]] Node operator[](std::string_view key) const {
    return {setup_, node_ == nullptr ? nullptr : setup_->child(setup_, node_, to_abi(key))};
  }

  /// True if there was one.
  bool read(std::string& value) const {
    sluice_str text{};
    if (node_ == nullptr || setup_->text(setup_, node_, &text) == 0) return false;
    value = to_view(text);
    return true;
  }
  void read(bool& value) const {
    int flag = 0;
    if (node_ != nullptr && setup_->boolean(setup_, node_, &flag) != 0) value = flag != 0;
  }
  void read(double& value, double min, double max) const {
    if (node_ != nullptr) setup_->number(setup_, node_, min, max, &value);
  }
  template <typename Integer>
  void read(Integer& value, int64_t min, int64_t max) const
      requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>) {
    int64_t wide = 0;
    if (node_ != nullptr && setup_->integer(setup_, node_, min, max, &wide) != 0) value = static_cast<Integer>(wide);
  }
  void read(std::chrono::milliseconds& value, std::chrono::milliseconds min, std::chrono::milliseconds max) const {
    uint64_t millis = 0;
    if (node_ == nullptr) return;
    if (setup_->duration(setup_, node_, static_cast<uint64_t>(min.count()), static_cast<uint64_t>(max.count()),
                         &millis) != 0)
      value = std::chrono::milliseconds(millis);
  }
  void read_size(uint64_t& bytes, uint64_t min, uint64_t max) const {
    if (node_ != nullptr) setup_->size(setup_, node_, min, max, &bytes);
  }
  /// A list of texts; a single text counts as a list of one.
  void read(std::vector<std::string>& values) const {
    if (node_ == nullptr) return;
    values.clear();
    for_each_in_list([&](Node entry) { entry.read(values.emplace_back()); });
  }
  /// The content of the file that the node names; nothing after an error.
  [[nodiscard]] std::optional<std::string> file() const {
    sluice_str content{};
    if (node_ == nullptr || setup_->file(setup_, node_, &content) == 0) return std::nullopt;
    return std::string(to_view(content));
  }
  /// As abi.h says of setup->upstream(); SLUICE_NONE too if there is no node, or if this gateway has no http calls.
  [[nodiscard]] uint32_t upstream() const {
    if (node_ == nullptr || !SLUICE_HAS(setup_, upstream)) return SLUICE_NONE;
    return setup_->upstream(setup_, node_);
  }
  /// Calls `visit(Node entry, std::string_view key)` for each entry of a list or map.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    const size_t count = node_ == nullptr ? 0 : setup_->count(setup_, node_);
    for (size_t i = 0; i < count; ++i) {
      sluice_str key{};
      const sluice_node* entry = setup_->entry(setup_, node_, i, &key);
      visit(Node(setup_, entry), to_view(key));
    }
  }
  /// Calls `visit(Node entry)` for each entry of a list; a single value counts as a list of one.
  template <typename Visit>
  void for_each_in_list(Visit&& visit) const {
    if (node_ != nullptr && !is_list()) return visit(*this);
    for_each([&](Node entry, std::string_view) { visit(entry); });
  }
  /// One of `choices`, by index; an error tells them all.
  template <typename Choice>
  void choose(Choice& value, std::initializer_list<std::pair<std::string_view, Choice>> choices) const {
    sluice_str text{};
    if (node_ == nullptr || setup_->text(setup_, node_, &text) == 0) return;
    std::string known;
    for (const auto& [name, choice] : choices) {
      if (name == to_view(text)) {
        value = choice;
        return;
      }
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    error("\"" + std::string(to_view(text)) + "\" is not one of " + known);
  }
  void error(std::string_view message) const { setup_->error(setup_, node_, to_abi(message)); }
  void warning(std::string_view message) const { setup_->warning(setup_, node_, to_abi(message)); }

 private:
  sluice_setup* setup_;
  const sluice_node* node_;
};

/// What a Config is made of. If it reported an error, the instance is not used.
class Setup {
 public:
  explicit Setup(sluice_setup* setup) : setup_(setup) {}

  [[nodiscard]] Node root() const { return {setup_, setup_->root}; }
  [[nodiscard]] Node operator[](std::string_view key) const { return root()[key]; }
  [[nodiscard]] std::string_view instance() const { return to_view(setup_->instance); }
  /// As abi.h says of setup->store(): the store that `node` names, or the default one.
  [[nodiscard]] uint32_t store(std::optional<std::string_view> key = std::nullopt) const {
    const sluice_node* named =
        key && setup_->root != nullptr ? setup_->child(setup_, setup_->root, to_abi(*key)) : nullptr;
    return setup_->store(setup_, named);
  }
  [[nodiscard]] uint32_t counter(std::string_view name) const { return setup_->counter(setup_, to_abi(name)); }
  [[nodiscard]] uint32_t histogram(std::string_view name) const { return setup_->histogram(setup_, to_abi(name)); }
  /// False: this gateway cannot, and lets them pass.
  [[nodiscard]] bool drop_trailers(std::string_view prefix) const {
    if (!SLUICE_HAS(setup_, drop_trailers)) return false;
    setup_->drop_trailers(setup_, to_abi(prefix));
    return true;
  }
  /// About the instance as a whole.
  void error(std::string_view message) const { setup_->error(setup_, nullptr, to_abi(message)); }
  void warning(std::string_view message) const { setup_->warning(setup_, nullptr, to_abi(message)); }

 private:
  sluice_setup* setup_;
};

// --- at run time ---

/// The instance on one worker.
class WorkerHandle {
 public:
  explicit WorkerHandle(sluice_worker* worker) : worker_(worker) {}

  [[nodiscard]] sluice_worker* raw() const { return worker_; }
  [[nodiscard]] std::chrono::microseconds now() const { return std::chrono::microseconds(host->now_us(worker_)); }
  /// Since the epoch.
  [[nodiscard]] std::chrono::microseconds wall() const { return std::chrono::microseconds(host->wall_us(worker_)); }
  void log(sluice_level level, std::string_view message) const { host->log(worker_, level, to_abi(message)); }
  void count(uint32_t counter, uint64_t amount = 1) const { host->count(worker_, counter, amount); }
  void observe(uint32_t histogram, std::chrono::microseconds value) const {
    host->observe(worker_, histogram, static_cast<uint64_t>(value.count()));
  }
  void resume(uint64_t token, Verdict verdict) const {
    host->resume(worker_, token, static_cast<sluice_verdict>(verdict));
  }

 private:
  sluice_worker* worker_;
};

struct Header {
  std::string_view name;
  std::string_view value;
};

/// An answer made by the plugin; see struct sluice_response.
struct Response {
  uint32_t status = 200;
  std::span<const Header> headers;
  std::string_view body;
  std::string_view reason;
  std::string_view detail;
};

/// This instance in one exchange.
class Exchange {
 public:
  explicit Exchange(sluice_filter* filter) : filter_(filter) {}

  [[nodiscard]] WorkerHandle worker() const { return WorkerHandle(filter_->worker); }
  template <typename Config>
  [[nodiscard]] const Config& config() const {
    return *static_cast<const Config*>(filter_->worker->config);
  }
  template <typename Worker>
  [[nodiscard]] Worker& worker_state() const {
    return *static_cast<Worker*>(filter_->worker->state);
  }

  [[nodiscard]] std::string_view fact(sluice_fact which) const { return to_view(host->fact(filter_, which)); }
  [[nodiscard]] sluice_progress progress() const {
    sluice_progress progress{};
    progress.struct_size = sizeof(progress);
    host->progress(filter_, &progress);
    return progress;
  }
  [[nodiscard]] std::optional<std::string_view> param(std::string_view name) const {
    sluice_str value{};
    if (host->param(filter_, to_abi(name), &value) == 0) return std::nullopt;
    return to_view(value);
  }

  /// The `nth` field of that name, from 0.
  [[nodiscard]] std::optional<std::string_view> header(Side side, std::string_view name, size_t nth = 0) const {
    sluice_str value{};
    if (host->header(filter_, static_cast<sluice_side>(side), to_abi(name), nth, &value) == 0) return std::nullopt;
    return to_view(value);
  }
  [[nodiscard]] size_t header_count(Side side) const {
    return host->header_count(filter_, static_cast<sluice_side>(side));
  }
  [[nodiscard]] Header header_at(Side side, size_t index) const {
    sluice_header header{};
    host->header_at(filter_, static_cast<sluice_side>(side), index, &header);
    return {to_view(header.name), to_view(header.value)};
  }
  /// As abi.h says of header_like().
  [[nodiscard]] size_t header_like(Side side, std::string_view prefix, size_t from) const {
    if (SLUICE_HAS(host, header_like))
      return host->header_like(filter_, static_cast<sluice_side>(side), to_abi(prefix), from);
    for (const size_t count = header_count(side); from < count; ++from) {
      const std::string_view name = header_at(side, from).name;
      const auto seen = [](char c) { return c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
      if (name.size() >= prefix.size() &&
          std::equal(prefix.begin(), prefix.end(), name.begin(), [&](char a, char b) { return seen(a) == seen(b); }))
        return from;
    }
    return SIZE_MAX;
  }
  bool set_header(Side side, std::string_view name, std::string_view value) const {
    return host->set_header(filter_, static_cast<sluice_side>(side), to_abi(name), to_abi(value)) != 0;
  }
  bool add_header(Side side, std::string_view name, std::string_view value) const {
    return host->add_header(filter_, static_cast<sluice_side>(side), to_abi(name), to_abi(value)) != 0;
  }
  bool remove_header(Side side, std::string_view name) const {
    return host->remove_header(filter_, static_cast<sluice_side>(side), to_abi(name)) != 0;
  }

  [[nodiscard]] std::optional<std::string_view> shared(std::string_view key) const {
    sluice_str value{};
    if (host->get_shared(filter_, to_abi(key), &value) == 0) return std::nullopt;
    return to_view(value);
  }
  void set_shared(std::string_view key, std::string_view value) const {
    host->set_shared(filter_, to_abi(key), to_abi(value));
  }

  /// Verdict::respond; or go_on, and it is logged, if the host refused the answer: a mistake of the plugin.
  Verdict respond(const Response& response) const {
    std::vector<sluice_header> headers;
    for (const Header& header : response.headers) headers.push_back({to_abi(header.name), to_abi(header.value)});
    const sluice_response given{.struct_size = sizeof(sluice_response),
                                .status = response.status,
                                .headers = headers.data(),
                                .header_count = headers.size(),
                                .body = to_abi(response.body),
                                .reason = to_abi(response.reason),
                                .detail = to_abi(response.detail)};
    host->respond(filter_, &given);  // what it refuses, the host answers with 500 plugin_failed
    return Verdict::respond;
  }
  void replace_body() const { host->replace_body(filter_); }
  void write_body(std::string_view bytes) const { host->write_body(filter_, to_abi(bytes)); }
  /// A hint: an older gateway calls on_response_body() all the same.
  void skip_body() const {
    if (SLUICE_HAS(host, skip_body)) host->skip_body(filter_);
  }
  /// Without it in an older gateway, the exchange ends with its client.
  void outlive_client() const {
    if (SLUICE_HAS(host, outlive_client)) host->outlive_client(filter_);
  }
  [[nodiscard]] uint64_t token() const { return host->token(filter_); }
  [[nodiscard]] std::string_view copy(std::string_view text) const {
    auto* at = static_cast<char*>(host->allocate(filter_, text.size()));
    text.copy(at, text.size());
    return {at, text.size()};
  }

 private:
  sluice_filter* filter_;
};

/// What a store said; the value lives during the callback.
struct StoreResult {
  sluice_outcome outcome;
  std::string_view value;
  std::string_view reason;
  int64_t sum;
  uint32_t remaining;
  std::chrono::microseconds retry_after;
  std::chrono::microseconds reset_after;
};

struct StoreCommand {
  sluice_operation operation = SLUICE_GET;
  std::string_view key;
  std::string_view value;
  std::string_view expected;
  std::chrono::milliseconds ttl{0};
  int64_t amount = 1;
  uint32_t units = 1;
  uint32_t burst = 1;
  std::chrono::microseconds period{1'000'000};
};

/// One question to a store: a member of whoever waits for the answer, and cancelled with it. `Owner` has a member function
/// void (StoreResult). It may be called from inside ask().
template <typename Owner, void (Owner::*OnResult)(const StoreResult&)>
class StoreCall {
 public:
  explicit StoreCall(Owner* owner) : owner_(owner) {}
  ~StoreCall() { cancel(); }
  StoreCall(const StoreCall&) = delete;
  StoreCall& operator=(const StoreCall&) = delete;

  void ask(WorkerHandle worker, uint32_t store, const StoreCommand& command) {
    worker_ = worker.raw();
    const sluice_store_command given = to_command(command);
    const uint64_t id = host->store(worker_, store, &given, on_done, this);
    if (id != 0) id_ = id;  // else it is answered, and the owner may have asked again
  }
  [[nodiscard]] bool waiting() const { return id_ != 0; }
  void cancel() {
    if (id_ != 0) host->cancel(worker_, std::exchange(id_, 0));
  }

  static sluice_store_command to_command(const StoreCommand& command) {
    return {.struct_size = sizeof(sluice_store_command),
            .operation = command.operation,
            .key = to_abi(command.key),
            .value = to_abi(command.value),
            .expected = to_abi(command.expected),
            .ttl_ms = static_cast<uint64_t>(command.ttl.count()),
            .amount = command.amount,
            .period_us = static_cast<uint64_t>(command.period.count()),
            .units = command.units,
            .burst = command.burst};
  }

 private:
  static void on_done(void* self, const sluice_store_result* result) {
    auto* call = static_cast<StoreCall*>(self);
    call->id_ = 0;
    (call->owner_->*OnResult)({.outcome = result->outcome,
                               .value = to_view(result->value),
                               .reason = to_view(result->reason),
                               .sum = result->sum,
                               .remaining = result->remaining,
                               .retry_after = std::chrono::microseconds(result->retry_after_us),
                               .reset_after = std::chrono::microseconds(result->reset_after_us)});
  }

  Owner* owner_;
  sluice_worker* worker_ = nullptr;
  uint64_t id_ = 0;
};

struct HttpRequest {
  uint32_t upstream = SLUICE_NONE;
  std::string_view method = "GET";
  std::string_view target;
  std::string_view host;
  std::span<const Header> headers;
  std::string_view body;
  std::chrono::milliseconds timeout{5'000};
  uint64_t max_body = 1024 * 1024;
};

/// One request to an upstream: a member of whoever waits for the answer, and cancelled with it. `Owner` has a member function
/// void (const sluice_http_result&), never called from inside ask().
template <typename Owner, void (Owner::*OnResult)(const sluice_http_result&)>
class HttpCall {
 public:
  explicit HttpCall(Owner* owner) : owner_(owner) {}
  ~HttpCall() { cancel(); }
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  void ask(WorkerHandle worker, const HttpRequest& request) {
    cancel();
    std::vector<sluice_header> headers;
    for (const Header& header : request.headers) headers.push_back({to_abi(header.name), to_abi(header.value)});
    const sluice_http_request given{.struct_size = sizeof(sluice_http_request),
                                    .upstream = request.upstream,
                                    .method = to_abi(request.method),
                                    .target = to_abi(request.target),
                                    .host = to_abi(request.host),
                                    .headers = headers.data(),
                                    .header_count = headers.size(),
                                    .body = to_abi(request.body),
                                    .timeout_ms = static_cast<uint64_t>(request.timeout.count()),
                                    .max_body_bytes = request.max_body};
    worker_ = worker.raw();
    id_ = host->http(worker_, &given, on_done, this);
  }
  [[nodiscard]] bool waiting() const { return id_ != 0; }
  void cancel() {
    if (id_ != 0) host->cancel(worker_, std::exchange(id_, 0));
  }

 private:
  static void on_done(void* self, const sluice_http_result* result) {
    auto* call = static_cast<HttpCall*>(self);
    call->id_ = 0;
    (call->owner_->*OnResult)(*result);
  }

  Owner* owner_;
  sluice_worker* worker_ = nullptr;
  uint64_t id_ = 0;
};

/// A timer that is a member of whoever waits, and cancelled with it.
template <typename Owner, void (Owner::*OnTime)()>
class TimerCall {
 public:
  explicit TimerCall(Owner* owner) : owner_(owner) {}
  ~TimerCall() { cancel(); }
  TimerCall(const TimerCall&) = delete;
  TimerCall& operator=(const TimerCall&) = delete;

  void set(WorkerHandle worker, std::chrono::milliseconds after) {
    cancel();
    worker_ = worker.raw();
    id_ = host->timer(worker_, static_cast<uint64_t>(after.count()), on_done, this);
  }
  void cancel() {
    if (id_ != 0) host->cancel(worker_, std::exchange(id_, 0));
  }

 private:
  static void on_done(void* self) {
    auto* call = static_cast<TimerCall*>(self);
    call->id_ = 0;
    (call->owner_->*OnTime)();
  }

  Owner* owner_;
  sluice_worker* worker_ = nullptr;
  uint64_t id_ = 0;
};

struct NoWorker {
  explicit NoWorker(WorkerHandle) {}
};

// --- the table ---

namespace detail {

template <typename Config>
void* configure(sluice_setup* raw) {
  if (host == nullptr) host = raw->host;  // once: a reload configures while workers read it
  Setup setup(raw);
  return new Config(setup);
}

template <typename Config>
void discard(void* config) {
  delete static_cast<Config*>(config);
}

template <typename Worker>
void start_worker(sluice_worker* worker) {
  worker->state = new Worker(WorkerHandle(worker));
}

template <typename Worker>
void stop_worker(sluice_worker* worker) {
  delete static_cast<Worker*>(worker->state);
}

// The Filter is made with the first phase that is called for its exchange, in memory of the exchange.
template <typename Filter>
Filter& filter_of(sluice_filter* raw) {
  static_assert(alignof(Filter) <= alignof(std::max_align_t));
  if (raw->state == nullptr) raw->state = new (host->allocate(raw, sizeof(Filter))) Filter(Exchange(raw));
  return *static_cast<Filter*>(raw->state);
}

template <typename Filter>
sluice_verdict on_begin(sluice_filter* raw) {
  if (raw->state != nullptr) return SLUICE_CONTINUE;
  return static_cast<sluice_verdict>(filter_of<Filter>(raw).on_begin());
}

template <typename Filter>
void on_complete(sluice_filter* raw, const sluice_summary* summary) {
  if constexpr (requires(Filter filter) { filter.on_complete(*summary); }) filter_of<Filter>(raw).on_complete(*summary);
  if (raw->state != nullptr) static_cast<Filter*>(raw->state)->~Filter();
}

template <typename Config, typename Worker, typename Filter>
constexpr sluice_plugin make_plugin(const char* name, const char* version) {
  sluice_plugin plugin{};
  plugin.struct_size = sizeof(sluice_plugin);
  plugin.abi_version = SLUICE_ABI_VERSION;
  plugin.name = name;
  plugin.version = version;
  plugin.configure = configure<Config>;
  plugin.discard = discard<Config>;
  if constexpr (!std::is_same_v<Worker, NoWorker>) {
    plugin.start_worker = start_worker<Worker>;
    plugin.stop_worker = stop_worker<Worker>;
  }
  if constexpr (requires(Filter filter) { filter.on_begin(); }) {
    plugin.on_request_start = on_begin<Filter>;
    plugin.on_request = on_begin<Filter>;
  }
  if constexpr (requires(Filter filter) { filter.on_request_start(); }) {
    plugin.on_request_start = [](sluice_filter* raw) {
      return static_cast<sluice_verdict>(filter_of<Filter>(raw).on_request_start());
    };
  }
  if constexpr (requires(Filter filter) { filter.on_request(); }) {
    plugin.on_request = [](sluice_filter* raw) {
      return static_cast<sluice_verdict>(filter_of<Filter>(raw).on_request());
    };
  }
  if constexpr (requires(Filter filter) { filter.on_request_body(std::string_view(), true); }) {
    plugin.on_request_body = [](sluice_filter* raw, sluice_str data, int last) {
      return static_cast<sluice_verdict>(filter_of<Filter>(raw).on_request_body(to_view(data), last != 0));
    };
  }
  if constexpr (requires(Filter filter) { filter.on_response(); }) {
    plugin.on_response = [](sluice_filter* raw) {
      return static_cast<sluice_verdict>(filter_of<Filter>(raw).on_response());
    };
  }
  if constexpr (requires(Filter filter) { filter.on_response_body(std::string_view(), true); }) {
    plugin.on_response_body = [](sluice_filter* raw, sluice_str data, int last) {
      return static_cast<sluice_verdict>(filter_of<Filter>(raw).on_response_body(to_view(data), last != 0));
    };
  }
  if constexpr (requires(Filter filter, sluice_summary summary) { filter.on_complete(summary); } ||
                !std::is_trivially_destructible_v<Filter>) {
    plugin.on_complete = on_complete<Filter>;
  }
  return plugin;
}

}  // namespace detail
}  // namespace sluice

#define SLUICE_PLUGIN(name, version, Config, Worker, Filter)                                                       \
  extern "C" {                                                                                                     \
  SLUICE_EXPORT extern const sluice_plugin sluice_plugin;                                                          \
  const struct sluice_plugin sluice_plugin = ::sluice::detail::make_plugin<Config, Worker, Filter>(name, version); \
  }
