#include "filter/host.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/cgi_name.h"
#include "base/log.h"
#include "filter/chain.h"
#include "filter/header_edit.h"
#include "http/parser.h"
#include "http/serializer.h"

namespace sluice::filter {

// --- pauses ---

uint64_t Host::make_token(Chain& chain) {
  const uint64_t token = pauses_.make(Pause{.host = this, .chain = &chain});
  pauses_.find(token)->token = token;
  return token;
}

void Host::resume(uint64_t token, sluice_verdict verdict) {
  Pause* pause = pauses_.find(token);
  if (pause == nullptr || pause->resumed) return;
  pause->resumed = true;
  pause->verdict = verdict;
  loop_.at_turn_end(run, pause);
}

void Host::drop_token(uint64_t token) {
  Pause* pause = pauses_.find(token);
  if (pause == nullptr) return;
  if (!pause->resumed) return pauses_.erase(token);
  pause->chain = nullptr;
}

bool Host::take_early(uint64_t token, sluice_verdict& verdict) {
  Pause* pause = pauses_.find(token);
  if (pause == nullptr || !pause->resumed) return false;
  pause->chain = nullptr;
  verdict = pause->verdict;
  return true;
}

void Host::run(void* raw) {
  const Pause pause = *static_cast<Pause*>(raw);
  pause.host->pauses_.erase(pause.token);
  if (pause.chain != nullptr) pause.chain->go_on(pause.token, pause.verdict);
}

// --- the table ---

namespace {

constexpr size_t kMaxAllocation = 64 * 1024;
constexpr size_t kMaxAnswerLines = 64 * 1024;
constexpr size_t kMaxAnswerBody = 128 * 1024;

std::string_view text_of(sluice_str text) { return {text.data, text.size}; }
sluice_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
sluice_header to_abi(const http::HeaderField& field) { return {to_abi(field.name), to_abi(field.value)}; }

bool is_reason(std::string_view text) {
  return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

// Copies what the plugin gave, as much of it as the plugin knows of; the rest is zero.
template <typename T>
T known_part(const T* given) {
  T known{};
  std::memcpy(&known, given, std::min<size_t>(given->struct_size, sizeof(T)));
  return known;
}

// Fills as much of what the plugin asked for as the plugin knows of.
template <typename T>
void fill_known_part(T* asked, T filled) {
  filled.struct_size = asked->struct_size;
  std::memcpy(asked, &filled, std::min<size_t>(asked->struct_size, sizeof(T)));
}

}  // namespace

class HostTable {
 public:
  static sluice_str fact(sluice_filter* filter, sluice_fact which) { return to_abi(subject_of(filter).fact(which)); }

  static void progress(sluice_filter* filter, sluice_progress* out) {
    sluice_progress progress{};
    subject_of(filter).report(progress);
    fill_known_part(out, progress);
  }

  static int param(sluice_filter* filter, sluice_str name, sluice_str* out) {
    std::string_view value;
    if (!subject_of(filter).param(text_of(name), value)) return 0;
    *out = to_abi(value);
    return 1;
  }

  static size_t header_count(sluice_filter* filter, sluice_side side) {
    const http::HeaderMap* headers = readable(filter, side);
    return headers == nullptr ? 0 : headers->size();
  }

  static int header_at(sluice_filter* filter, sluice_side side, size_t index, sluice_header* out) {
    const http::HeaderMap* headers = readable(filter, side);
    if (headers == nullptr || index >= headers->size()) return 0;
    *out = to_abi(headers->fields()[index]);
    return 1;
  }

  static int header(sluice_filter* filter, sluice_side side, sluice_str name, size_t nth, sluice_str* out) {
    const http::HeaderMap* headers = readable(filter, side);
    if (headers == nullptr) return 0;
    const http::HeaderId id = http::header_id(text_of(name));
    if (!headers->has(id) || (nth > 0 && !headers->repeated(id))) return 0;
    for (const http::HeaderField& field : *headers) {
      if (!field.is(text_of(name), id) || nth-- > 0) continue;
      *out = to_abi(field.value);
      return 1;
    }
    return 0;
  }

  static size_t header_like(sluice_filter* filter, sluice_side side, sluice_str prefix, size_t from) {
    const http::HeaderMap* headers = readable(filter, side);
    if (headers == nullptr) return SIZE_MAX;
    for (size_t i = from; i < headers->size(); ++i) {
      if (cgi_begins_with(headers->fields()[i].name, text_of(prefix))) return i;
    }
    return SIZE_MAX;
  }

  static int set_header(sluice_filter* filter, sluice_side side, sluice_str name, sluice_str value) {
    http::HeaderMap* headers = changeable(filter, side);
    return headers != nullptr &&
           filter::set_header(*headers, subject_of(filter).arena(), text_of(name), text_of(value));
  }

  static int add_header(sluice_filter* filter, sluice_side side, sluice_str name, sluice_str value) {
    http::HeaderMap* headers = changeable(filter, side);
    return headers != nullptr &&
           filter::add_header(*headers, subject_of(filter).arena(), text_of(name), text_of(value));
  }

  static int remove_header(sluice_filter* filter, sluice_side side, sluice_str name) {
    http::HeaderMap* headers = changeable(filter, side);
    return headers != nullptr && filter::remove_header(*headers, text_of(name));
  }

  static int get_shared(sluice_filter* filter, sluice_str key, sluice_str* out) {
    const Chain::Shared* found = chain_of(filter).find_shared(text_of(key));
    if (found != nullptr) *out = to_abi(found->value);
    return found != nullptr;
  }

  // The newest stands first, so that a key set again has its new value.
  static void set_shared(sluice_filter* filter, sluice_str key, sluice_str value) {
    if (key.size + value.size > kMaxAllocation) return;
    Chain& chain = chain_of(filter);
    Arena& arena = chain.subject_.arena();
    auto* shared = new (arena.allocate(sizeof(Chain::Shared))) Chain::Shared;
    *shared = {arena.copy(text_of(key)), arena.copy(text_of(value)), chain.shared_};
    chain.shared_ = shared;
  }

  static int respond(sluice_filter* filter, const sluice_response* given) {
    const sluice_response response = known_part(given);
    Chain& chain = chain_of(filter);
    Arena& arena = chain.subject_.arena();
    if (response.status < 200 || response.status > 599) return 0;
    if (!is_reason(text_of(response.reason)) || response.body.size > kMaxAnswerBody) return 0;
    size_t bytes = 0;
    for (size_t i = 0; i < response.header_count; ++i) {
      const sluice_header& header = response.headers[i];
      if (!is_editable(text_of(header.name)) || !http::is_field_value(text_of(header.value))) return 0;
      bytes += header.name.size + header.value.size + 4;
    }
    if (bytes > kMaxAnswerLines) return 0;
    http::HeadWriter lines({arena.allocate(bytes), bytes});
    for (size_t i = 0; i < response.header_count; ++i) {
      lines.field(text_of(response.headers[i].name), text_of(response.headers[i].value));
    }
    chain.answer_ = {.status = static_cast<uint16_t>(response.status),
                     .field_lines = lines.view(),
                     .body = arena.copy(text_of(response.body)),
                     .reason = arena.copy(text_of(response.reason)),
                     .detail = arena.copy(text_of(response.detail).substr(0, kMaxDetail))};
    return 1;
  }

  static void replace_body(sluice_filter* filter) { chain_of(filter).replace_body(own(filter)); }
  static void skip_body(sluice_filter* filter) { chain_of(filter).skip_body(own(filter)); }
  static void write_body(sluice_filter* filter, sluice_str bytes) {
    chain_of(filter).write_body(own(filter), text_of(bytes));
  }

  static void* allocate(sluice_filter* filter, size_t bytes) {
    constexpr size_t kAlignment = alignof(std::max_align_t);
    if (bytes > kMaxAllocation) return nullptr;
    const auto at = reinterpret_cast<uintptr_t>(subject_of(filter).arena().allocate(bytes + kAlignment));
    return reinterpret_cast<void*>((at + kAlignment - 1) & ~(kAlignment - 1));
  }

  static uint64_t token(sluice_filter* filter) {
    Chain& chain = chain_of(filter);
    Chain::Direction& direction = chain.direction_of(chain.calling_);
    if (chain.calling_ == Phase::complete) return 0;
    if (direction.token == 0) direction.token = chain.host_.make_token(chain);
    return direction.token;
  }

  static void resume(sluice_worker* worker, uint64_t token, sluice_verdict verdict) {
    WorkerInstance::of(worker).host().resume(token, verdict);
  }

  static uint64_t now_us(sluice_worker* worker) {
    return static_cast<uint64_t>(loop_of(worker).now().time_since_epoch().count());
  }

  static uint64_t wall_us(sluice_worker* worker) { return static_cast<uint64_t>(loop_of(worker).wall().count()); }

  static void log(sluice_worker* worker, sluice_level level, sluice_str message) {
    const std::string& name = WorkerInstance::of(worker).instance().name;
    switch (level) {
      case SLUICE_DEBUG: return log::debug("{}: {}", name, text_of(message));
      case SLUICE_INFO: return log::info("{}: {}", name, text_of(message));
      case SLUICE_WARN: return log::warn("{}: {}", name, text_of(message));
      default: return log::error("{}: {}", name, text_of(message));
    }
  }

  static void count(sluice_worker* worker, uint32_t counter, uint64_t amount) {
    WorkerInstance& instance = WorkerInstance::of(worker);
    const auto& counters = instance.series().counters;
    if (counter < counters.size()) instance.host().shard().add(counters[counter], amount);
  }

  static void observe(sluice_worker* worker, uint32_t histogram, uint64_t micros) {
    WorkerInstance& instance = WorkerInstance::of(worker);
    const auto& histograms = instance.series().histograms;
    if (histogram < histograms.size()) instance.host().shard().observe(histograms[histogram], micros);
  }

  static uint64_t store(sluice_worker* worker, uint32_t store, const sluice_store_command* given,
                        sluice_store_done done, void* user) {
    const sluice_store_command asked = known_part(given);
    const auto operation = asked.operation <= SLUICE_ADD ? asked.operation : sluice_operation{SLUICE_GET};
    const store::Command command{.operation = static_cast<store::Operation>(operation),
                                 .key = text_of(asked.key),
                                 .value = text_of(asked.value),
                                 .expected = text_of(asked.expected),
                                 .ttl = Millis(asked.ttl_ms),
                                 .amount = asked.amount,
                                 .rate = {asked.units, Micros(asked.period_us), asked.burst}};
    return WorkerInstance::of(worker).submit(store, command, done, user);
  }

  static uint64_t timer(sluice_worker* worker, uint64_t after_ms, sluice_timer_done done, void* user) {
    return WorkerInstance::of(worker).start_timer(Millis(after_ms), done, user);
  }

  static uint64_t http(sluice_worker* worker, const sluice_http_request* given, sluice_http_done done, void* user) {
    return WorkerInstance::of(worker).fetch(known_part(given), done, user);
  }

  static void outlive_client(sluice_filter* filter) {
    const Phase now = chain_of(filter).calling_;
    if (now == Phase::request_start || now == Phase::request) subject_of(filter).outlive_client();
  }

  static void cancel(sluice_worker* worker, uint64_t id) { WorkerInstance::of(worker).cancel(id); }

 private:
  static constexpr size_t kMaxDetail = 200;

  static Chain::Filter& own(sluice_filter* filter) { return *static_cast<Chain::Filter*>(filter); }
  static Chain& chain_of(sluice_filter* filter) { return *own(filter).chain; }
  static Subject& subject_of(sluice_filter* filter) { return chain_of(filter).subject_; }
  static event::Loop& loop_of(sluice_worker* worker) { return WorkerInstance::of(worker).host().loop(); }

  static const http::HeaderMap* readable(sluice_filter* filter, sluice_side side) {
    if (side == SLUICE_RESPONSE) return changeable(filter, side);
    return subject_of(filter).headers(side);
  }
  static http::HeaderMap* changeable(sluice_filter* filter, sluice_side side) {
    Chain& chain = chain_of(filter);
    const bool is_time = side == SLUICE_RESPONSE
                             ? chain.is_in(Phase::response, filter)
                             : chain.is_in(Phase::request_start, filter) || chain.is_in(Phase::request, filter);
    return is_time ? subject_of(filter).headers(side) : nullptr;
  }
};

const sluice_host& host_table() {
  static constexpr sluice_host kTable = {
      .struct_size = sizeof(sluice_host),
      .abi_version = SLUICE_ABI_VERSION,
      .fact = HostTable::fact,
      .progress = HostTable::progress,
      .param = HostTable::param,
      .header_count = HostTable::header_count,
      .header_at = HostTable::header_at,
      .header = HostTable::header,
      .set_header = HostTable::set_header,
      .add_header = HostTable::add_header,
      .remove_header = HostTable::remove_header,
      .get_shared = HostTable::get_shared,
      .set_shared = HostTable::set_shared,
      .respond = HostTable::respond,
      .replace_body = HostTable::replace_body,
      .write_body = HostTable::write_body,
      .allocate = HostTable::allocate,
      .token = HostTable::token,
      .resume = HostTable::resume,
      .now_us = HostTable::now_us,
      .wall_us = HostTable::wall_us,
      .log = HostTable::log,
      .count = HostTable::count,
      .observe = HostTable::observe,
      .store = HostTable::store,
      .timer = HostTable::timer,
      .cancel = HostTable::cancel,
      .skip_body = HostTable::skip_body,
      .http = HostTable::http,
      .outlive_client = HostTable::outlive_client,
      .header_like = HostTable::header_like,
  };
  return kTable;
}

}  // namespace sluice::filter
