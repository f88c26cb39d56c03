#include "fake_host.h"

#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>

#include "common/header_syntax.h"

namespace plugin_test {

namespace {

using std::chrono::microseconds;

sluice_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
std::string text_of(sluice_str text) { return {text.data == nullptr ? "" : text.data, text.size}; }

void set_paths(Value& value, const std::string& path) {
  value.path = path;
  for (size_t i = 0; i < value.entries.size(); ++i) {
    auto& [key, entry] = value.entries[i];
    const std::string name = value.kind == SLUICE_NODE_LIST ? std::to_string(i) : key;
    set_paths(entry, path.empty() ? name : path + "." + name);
  }
}

const Value& value_of(const sluice_node* node) { return *reinterpret_cast<const Value*>(node); }
const sluice_node* node_of(const Value& value) { return reinterpret_cast<const sluice_node*>(&value); }

struct FakeSetup : sluice_setup {
  explicit FakeSetup(FakeHost& owner) : sluice_setup{}, fake(owner) {}
  FakeHost& fake;
};
FakeHost& host_of(sluice_setup* setup) { return static_cast<FakeSetup*>(setup)->fake; }
FakeHost& host_of(sluice_worker* worker) { return static_cast<FakeWorker*>(worker)->host; }

void report(sluice_setup* setup, const sluice_node* node, sluice_str message) {
  host_of(setup).errors.push_back((node == nullptr ? "" : value_of(node).path + ": ") + text_of(message));
}

// The number that a value begins with, and what stands behind it; 0 after an error.
int number_of(sluice_setup* setup, const sluice_node* node, double min, double max, const Fields& units, double* out) {
  const Value& value = value_of(node);
  size_t used = 0;
  double number = 0;
  try {
    number = std::stod(value.text, &used);
  } catch (const std::exception&) {
  }
  const auto unit =
      std::find_if(units.begin(), units.end(), [&](auto& row) { return row.first == value.text.substr(used); });
  if (used > 0 && unit != units.end()) number *= std::stod(unit->second);
  const bool good = used > 0 && unit != units.end() && number >= min && number <= max;
  if (good) *out = number;
  if (!good) report(setup, node, to_abi("not a number in range"));
  return good;
}

void fill_setup(sluice_setup& setup, const sluice_host& table, const Value& root) {
  setup.struct_size = sizeof(sluice_setup);
  setup.host = &table;
  setup.instance = to_abi("mine");
  setup.root = node_of(root);
  setup.kind = [](sluice_setup*, const sluice_node* node) { return value_of(node).kind; };
  setup.child = [](sluice_setup*, const sluice_node* node, sluice_str key) -> const sluice_node* {
    if (node == nullptr) return nullptr;
    for (const auto& [name, entry] : value_of(node).entries) {
      if (name == text_of(key)) return node_of(entry);
    }
    return nullptr;
  };
  setup.count = [](sluice_setup*, const sluice_node* node) { return value_of(node).entries.size(); };
  setup.entry = [](sluice_setup*, const sluice_node* node, size_t index, sluice_str* key) {
    const auto& [name, entry] = value_of(node).entries.at(index);
    if (key != nullptr) *key = to_abi(name);
    return node_of(entry);
  };
  setup.text = [](sluice_setup*, const sluice_node* node, sluice_str* out) {
    *out = to_abi(value_of(node).text);
    return 1;
  };
  setup.boolean = [](sluice_setup*, const sluice_node* node, int* out) {
    *out = value_of(node).text == "true";
    return 1;
  };
  setup.integer = [](sluice_setup* self, const sluice_node* node, int64_t min, int64_t max, int64_t* out) {
    double number = 0;
    if (number_of(self, node, static_cast<double>(min), static_cast<double>(max), {{"", "1"}}, &number) == 0) return 0;
    *out = static_cast<int64_t>(number);
    return 1;
  };
  setup.number = [](sluice_setup* self, const sluice_node* node, double min, double max, double* out) {
    return number_of(self, node, min, max, {{"", "1"}, {"%", "0.01"}}, out);
  };
  setup.duration = [](sluice_setup* self, const sluice_node* node, uint64_t min, uint64_t max, uint64_t* out) {
    double millis = 0;
    const Fields units{{"ms", "1"}, {"s", "1e3"}, {"m", "6e4"}, {"h", "36e5"}};
    if (number_of(self, node, static_cast<double>(min), static_cast<double>(max), units, &millis) == 0) return 0;
    *out = static_cast<uint64_t>(millis);
    return 1;
  };
  setup.file = [](sluice_setup* self, const sluice_node* node, sluice_str* content) {
    *content = to_abi(host_of(self).files.at(value_of(node).text));
    return 1;
  };
  setup.store = [](sluice_setup*, const sluice_node*) { return uint32_t{0}; };
  setup.upstream = setup.store;
  setup.drop_trailers = [](sluice_setup*, sluice_str) {};
  setup.error = report;
  setup.warning = [](sluice_setup*, const sluice_node*, sluice_str) {};
}

std::string joined(const Fields& fields, std::string_view name) {
  std::string values;
  bool found = false;
  for (const auto& [each, value] : fields) {
    if (!sluice::equals_ignoring_case(each, name)) continue;
    values += (found ? "," : "") + value;
    found = true;
  }
  return found ? values : "-";
}

}  // namespace

Value map(std::initializer_list<std::pair<std::string, Value>> entries) {
  Value value("");
  value.kind = SLUICE_NODE_MAP;
  value.entries = entries;
  return value;
}

Value list(std::initializer_list<Value> entries) {
  Value value("");
  value.kind = SLUICE_NODE_LIST;
  for (const Value& entry : entries) value.entries.emplace_back("", entry);
  return value;
}

FakeHost::FakeHost() {
  table.struct_size = sizeof(table);
  table.abi_version = SLUICE_ABI_VERSION;
  fill_worker_functions();
  FakeExchange::fill_functions(table);
}

void FakeHost::fill_worker_functions() {
  table.now_us = [](sluice_worker* on) { return static_cast<uint64_t>(host_of(on).now.count()); };
  table.wall_us = table.now_us;
  table.log = [](sluice_worker* on, sluice_level, sluice_str text) { host_of(on).logged.push_back(text_of(text)); };
  table.count = [](sluice_worker* on, uint32_t id, uint64_t amount) { host_of(on).counts_.at(id) += amount; };
  table.observe = [](sluice_worker* on, uint32_t id, uint64_t) { ++host_of(on).counts_.at(id); };
  table.timer = [](sluice_worker* on, uint64_t after_ms, sluice_timer_done done, void* user) {
    FakeHost& host = host_of(on);
    host.timers_.push_back({++host.ids_, host.now + std::chrono::milliseconds(after_ms), done, user});
    return host.ids_;
  };
  table.store = [](sluice_worker* on, uint32_t, const sluice_store_command* given, sluice_store_done done, void* user) {
    FakeHost& host = host_of(on);
    const Taken command{text_of(given->key), given->units, given->burst,
                        microseconds(static_cast<int64_t>(given->period_us))};
    host.taken.push_back(command);
    const Asked asked{++host.ids_, command, done, user};
    if (host.store_waits) {
      host.asked_.push_back(asked);
      return asked.id;
    }
    host.answer(asked);
    return uint64_t{0};
  };
  table.http = [](sluice_worker* on, const sluice_http_request*, sluice_http_done done, void* user) {
    FakeHost& host = host_of(on);
    ++host.http_requests;
    host.http_ = {++host.ids_, done, user};
    return host.ids_;
  };
  table.cancel = [](sluice_worker* on, uint64_t id) {
    FakeHost& host = host_of(on);
    host.timers_.remove_if([&](const Timer& timer) { return timer.id == id; });
    host.asked_.remove_if([&](const Asked& asked) { return asked.id == id; });
    if (host.http_.id == id) host.http_ = {};
  };
  // The token of an exchange is its address.
  table.resume = [](sluice_worker*, uint64_t token, sluice_verdict verdict) {
    reinterpret_cast<FakeExchange*>(token)->resumed = verdict;
  };
}

void FakeHost::advance(microseconds time) {
  const microseconds end = now + time;
  while (!timers_.empty() && now + next_timer() <= end) {
    const auto first = std::min_element(timers_.begin(), timers_.end(), [](auto& a, auto& b) { return a.due < b.due; });
    const Timer timer = *first;
    timers_.erase(first);
    now = std::max(now, timer.due);
    timer.done(timer.user);
  }
  now = end;
}

microseconds FakeHost::next_timer() const {
  const auto first = std::min_element(timers_.begin(), timers_.end(), [](auto& a, auto& b) { return a.due < b.due; });
  return first == timers_.end() ? microseconds::max() : first->due - now;
}

void FakeHost::answer_store() {
  const Asked asked = asked_.front();
  asked_.pop_front();
  answer(asked);
}

// TAKE as the stores do it: GCRA, ITU-T I.371.
void FakeHost::answer(const Asked& asked) {
  sluice_store_result result{};
  result.struct_size = sizeof(result);
  result.outcome = SLUICE_FAILED;
  result.reason = to_abi(store_failure);
  if (store_failure.empty()) {
    const microseconds interval = asked.command.period / asked.command.units;
    microseconds& arrival = rates_[asked.command.key];
    const microseconds early = std::max(arrival - now, microseconds(0));
    const microseconds room = interval * asked.command.burst - early;
    const bool passes = room >= interval;
    if (passes) arrival = now + early + interval;
    result.outcome = passes ? SLUICE_DONE : SLUICE_REFUSED;
    result.remaining = static_cast<uint32_t>((passes ? room - interval : room) / interval);
    result.retry_after_us = static_cast<uint64_t>((passes ? microseconds(0) : interval - room).count());
    result.reset_after_us = static_cast<uint64_t>(std::max(arrival - now, microseconds(0)).count());
  }
  asked.done(asked.user, &result);
}

void FakeHost::answer_http(uint32_t status, std::string_view body, std::string_view reason) {
  const Http asked = std::exchange(http_, {});
  sluice_http_result result{};
  result.struct_size = sizeof(result);
  result.status = status;
  result.body = to_abi(body);
  result.reason = to_abi(reason);
  asked.done(asked.user, &result);
}

uint32_t FakeHost::counter(const std::string& name) {
  const auto [at, is_new] = counters_.emplace(name, static_cast<uint32_t>(counts_.size()));
  if (is_new) counts_.push_back(0);
  return at->second;
}

uint64_t FakeHost::counted(const std::string& name) const { return counts_.at(counters_.at(name)); }

LoadedPlugin::LoadedPlugin(FakeHost& on, const std::string& name, Value config)
    : host(on), config_(nullptr), worker_(on) {
  // Never unloaded: sanitizers want to name its functions at the end.
  void* module = dlopen((SLUICE_PLUGINS "/sluice_" + name + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) throw std::runtime_error(dlerror());
  table_ = static_cast<const sluice_plugin*>(dlsym(module, "sluice_plugin"));
  set_paths(config, "");
  FakeSetup setup(host);
  fill_setup(setup, host.table, config);
  setup.counter = [](sluice_setup* self, sluice_str key) { return host_of(self).counter(text_of(key)); };
  setup.histogram = setup.counter;
  config_ = table_->configure(&setup);
  worker_.config = config_;
  if (host.errors.empty() && table_->start_worker != nullptr) table_->start_worker(&worker_);
}

LoadedPlugin::~LoadedPlugin() {
  if (host.errors.empty() && table_->stop_worker != nullptr) table_->stop_worker(&worker_);
  table_->discard(config_);
}

std::vector<std::string> errors_of(const std::string& plugin, Value config, std::map<std::string, std::string> files) {
  FakeHost host;
  host.files = std::move(files);
  const LoadedPlugin loaded(host, plugin, std::move(config));
  return host.errors;
}

FakeExchange::FakeExchange(LoadedPlugin& plugin, Fields fields)
    : request(std::move(fields)), plugin_(plugin), filter_(&plugin.worker_, *this) {
  if (!plugin.host.errors.empty()) throw std::runtime_error(plugin.host.errors.front());
}

FakeExchange::~FakeExchange() {
  sluice_summary summary{};
  summary.struct_size = sizeof(summary);
  if (begun_ && plugin_.table_->on_complete != nullptr) plugin_.table_->on_complete(&filter_, &summary);
}

sluice_verdict FakeExchange::run(sluice_verdict (*phase)(sluice_filter*)) {
  if (phase == nullptr) return SLUICE_CONTINUE;
  begun_ = true;
  return phase(&filter_);
}

sluice_str FakeExchange::kept(const std::string& text) { return to_abi(kept_.emplace_back(text)); }

sluice_verdict FakeExchange::on_request_start() { return run(plugin_.table_->on_request_start); }
sluice_verdict FakeExchange::on_request() { return run(plugin_.table_->on_request); }
sluice_verdict FakeExchange::on_response() { return run(plugin_.table_->on_response); }

std::string FakeExchange::sent(std::string_view name) const { return joined(request, name); }
std::string FakeExchange::received(std::string_view name) const { return joined(response, name); }
std::string FakeExchange::answered(std::string_view name) const { return joined(answer, name); }

void FakeExchange::fill_functions(sluice_host& table) {
  table.fact = [](sluice_filter* on, sluice_fact fact) { return to_abi(of(on).facts[fact]); };
  table.header_count = [](sluice_filter* on, sluice_side side) { return of(on).fields(side).size(); };
  table.header_at = [](sluice_filter* on, sluice_side side, size_t index, sluice_header* out) {
    const auto& [name, value] = of(on).fields(side).at(index);
    *out = {of(on).kept(name), of(on).kept(value)};
    return 1;
  };
  table.header = [](sluice_filter* on, sluice_side side, sluice_str name, size_t nth, sluice_str* out) {
    for (const auto& [each, value] : of(on).fields(side)) {
      if (!sluice::equals_ignoring_case(each, text_of(name)) || nth-- > 0) continue;
      *out = of(on).kept(value);
      return 1;
    }
    return 0;
  };
  table.header_like = [](sluice_filter* on, sluice_side side, sluice_str prefix, size_t from) {
    const Fields& fields = of(on).fields(side);
    while (from < fields.size() && !sluice::begins_like(fields[from].first, text_of(prefix))) ++from;
    return from < fields.size() ? from : SIZE_MAX;
  };
  table.remove_header = [](sluice_filter* on, sluice_side side, sluice_str name) {
    if (sluice::is_of_the_gateway(text_of(name))) return 0;
    std::erase_if(of(on).fields(side),
                  [&](auto& field) { return sluice::equals_ignoring_case(field.first, text_of(name)); });
    return 1;
  };
  table.add_header = [](sluice_filter* on, sluice_side side, sluice_str name, sluice_str value) {
    if (!sluice::is_token(text_of(name)) || sluice::is_of_the_gateway(text_of(name))) return 0;
    if (!sluice::is_field_value(text_of(value))) return 0;
    of(on).fields(side).emplace_back(text_of(name), text_of(value));
    return 1;
  };
  table.set_header = [](sluice_filter* on, sluice_side side, sluice_str name, sluice_str value) {
    const sluice_host& self = of(on).plugin_.host.table;
    return self.remove_header(on, side, name) != 0 && self.add_header(on, side, name, value) != 0 ? 1 : 0;
  };
  table.get_shared = [](sluice_filter* on, sluice_str key, sluice_str* out) {
    const auto found = of(on).shared.find(text_of(key));
    if (found == of(on).shared.end()) return 0;
    *out = to_abi(found->second);
    return 1;
  };
  table.set_shared = [](sluice_filter* on, sluice_str key, sluice_str value) {
    of(on).shared[text_of(key)] = text_of(value);
  };
  table.respond = [](sluice_filter* on, const sluice_response* given) {
    FakeExchange& exchange = of(on);
    exchange.status = given->status;
    exchange.reason = text_of(given->reason);
    exchange.answer.clear();
    for (size_t i = 0; i < given->header_count; ++i)
      exchange.answer.emplace_back(text_of(given->headers[i].name), text_of(given->headers[i].value));
    return 1;
  };
  table.allocate = [](sluice_filter* on, size_t bytes) -> void* {
    return of(on).memory_.emplace_back(new std::max_align_t[bytes / sizeof(std::max_align_t) + 1]).get();
  };
  table.token = [](sluice_filter* on) { return reinterpret_cast<uint64_t>(&of(on)); };
}

}  // namespace plugin_test
