// Chain: the filters of one exchange: first those of the listener, then those of the route. It runs them phase by phase,
// remembers where it paused, and measures what each of them costs. Lives in the exchange's arena and dies with it; worker thread
// only. An exchange without plugins has none.
//
// A phase answers
//   next       all filters let it pass: the exchange goes on
//   wait       one paused it: Subject::on_resumed() will come, and the same function is to be called again, with the same
//              piece of a body; it goes on behind the filter that paused
//   respond    answer() is to be sent. In a response phase it replaces what came
//   read_body  the request waits; request_body() is to be called with all of its body, and will answer `respond` at the end
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/arena.h"
#include "event/timer_wheel.h"
#include "filter/worker_instance.h"
#include "http/message.h"
#include "snapshot/route_table.h"

namespace sluice::filter {

constexpr size_t kMaxFilters = 32;  // of one exchange

using Phase = stats::PluginPhase;
constexpr size_t kPhases = static_cast<size_t>(Phase::complete) + 1;

/// The exchange that a chain belongs to.
class Subject {
 public:
  [[nodiscard]] virtual std::string_view fact(sluice_fact which) const = 0;
  virtual void report(sluice_progress& progress) const = 0;
  /// A parameter that the path captured; false if there is none of that name.
  virtual bool param(std::string_view name, std::string_view& value) const = 0;
  /// The head's fields, to look at and change; nullptr while there are none.
  [[nodiscard]] virtual http::HeaderMap* headers(sluice_side side) = 0;
  [[nodiscard]] virtual Arena& arena() = 0;
  /// Bytes in place of the response's body. Valid during the call.
  virtual void write_response_body(std::string_view bytes) = 0;
  /// The exchange goes on to its end though its client goes away.
  virtual void outlive_client() = 0;
  /// The paused phase can go on: call it again.
  virtual void on_resumed(Phase phase) = 0;

 protected:
  ~Subject() = default;
};

/// What a filter answers instead of the upstream. All views are in the exchange's arena.
struct Answer {
  uint16_t status = 0;           // 0: none was given
  std::string_view field_lines;  // each with its CR LF
  std::string_view body;
  std::string_view reason;  // the plugin's own code; empty: none
  std::string_view detail;
  Reason failure = Reason::none;  // the plugin did not do what it has to
};

class Chain final : public snapshot::ClaimSource {
 public:
  enum class Step : uint8_t { next, wait, respond, read_body };

  Chain(Host& host, Subject& subject);
  ~Chain();
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  /// Adds filters behind those that are there.
  void add(std::span<WorkerInstance* const> instances);

  [[nodiscard]] Step request_start() { return run_request(Phase::request_start, {}, false); }
  [[nodiscard]] Step request() { return run_request(Phase::request, {}, false); }
  [[nodiscard]] Step request_body(std::string_view data, bool last) {
    return run_request(Phase::request_body, data, last);
  }
  /// A head is on its way to the client. Comes again when another answer replaces one that did not pass.
  [[nodiscard]] Step response() { return run_response(Phase::response, {}, false); }
  [[nodiscard]] Step response_body(std::string_view data, bool last) {
    return run_response(Phase::response_body, data, last);
  }
  /// Once, at the end. Tells every filter of which a phase was called.
  void complete(const sluice_summary& summary);

  /// Some filter looks at the request's body. Some one that takes part looks at the response's, or replaces it: then what goes
  /// to the client is what Subject::write_response_body() gets.
  [[nodiscard]] bool wants_request_body() const { return wants_request_body_; }
  [[nodiscard]] bool wants_response_body() const { return (readers_ | replacers_) != 0; }
  [[nodiscard]] bool replaces_response_body() const { return replacers_ != 0; }
  /// A field of this name in the response's trailers is for none but a plugin.
  [[nodiscard]] bool drops_trailer(std::string_view name) const;
  /// What a plugin shared as jwt.<name>.
  [[nodiscard]] bool find_claim(std::string_view name, std::string_view& value) const override;
  /// What is to be sent after `respond`.
  [[nodiscard]] Answer take_answer() { return std::exchange(answer_, Answer{}); }

  /// For the host: the pause of this number is over.
  void go_on(uint64_t token, sluice_verdict verdict);

  /// Runs through the filters that took part, in the order of the chain: name of each, and its ticks in each phase, for the log.
  template <typename Visit>
  void for_each_cost(Visit&& visit) {
    for (size_t i = 0; i < entered_; ++i) {
      visit(std::string_view(filters_[i]->instance().instance().name), filters_[i]->ticks);
    }
  }

 private:
  struct Filter : sluice_filter {
    Chain* chain;
    std::array<uint64_t, kPhases> ticks;  // so far
    uint32_t index;
    [[nodiscard]] WorkerInstance& instance() const { return WorkerInstance::of(worker); }
  };
  /// Filters, bit by bit.
  using FilterSet = uint32_t;
  static_assert(kMaxFilters <= 32);
  // Requests and responses pass the chain side by side: an early answer may come while the request's body is still on its way.
  struct Direction {
    Phase phase = Phase::request;
    size_t next = 0;       // request: the filter to call; response: filters [0, next) are to be called, last one first
    uint64_t token = 0;    // 0: none was asked for
    bool waiting = false;  // a phase paused
    bool resumed = false;  // and was resumed, with:
    sluice_verdict verdict = SLUICE_CONTINUE;
  };
  struct Shared {
    std::string_view key;
    std::string_view value;
    Shared* next;
  };
  static constexpr size_t kNobody = SIZE_MAX;

  friend class HostTable;
  [[nodiscard]] Step run(Direction& direction, std::string_view data, bool last);
  [[nodiscard]] Step run_request(Phase phase, std::string_view data, bool last);
  [[nodiscard]] Step run_response(Phase phase, std::string_view data, bool last);
  [[nodiscard]] Step run_response_body(std::string_view data, bool last);
  [[nodiscard]] sluice_verdict call(Filter& filter, Direction& direction, std::string_view data, bool last);
  [[nodiscard]] sluice_verdict enter(Filter& filter, Phase phase, std::string_view data, bool last);
  [[nodiscard]] sluice_verdict settle_token(Direction& direction, sluice_verdict verdict);
  bool go_on_after_pause(Direction& direction, Step& step);
  void begin_calls();
  void account(Filter& filter, Phase phase);
  /// Filters [0, count) see this response.
  void let_see_response(size_t count);
  [[nodiscard]] static FilterSet bit_of(const Filter& filter) { return FilterSet{1} << filter.index; }
  /// By a filter that the response's body reaches after this one.
  [[nodiscard]] bool is_read_after(const Filter& filter) const { return (readers_ & (bit_of(filter) - 1)) != 0; }
  // Of the host's table.
  void replace_body(Filter& filter) { replacers_ |= calling_ == Phase::response ? bit_of(filter) : 0; }
  void skip_body(Filter& filter) { readers_ &= calling_ == Phase::response ? ~bit_of(filter) : ~FilterSet{0}; }
  void write_body(Filter& filter, std::string_view bytes);
  [[nodiscard]] Step judge(Filter& filter, Direction& direction, sluice_verdict verdict);
  Step fail(Filter& filter, Direction& direction, Reason reason, const char* why);
  [[nodiscard]] const Shared* find_shared(std::string_view key) const;
  /// The phase is being called, or `filter` paused it.
  [[nodiscard]] bool is_in(Phase phase, const sluice_filter* filter);
  [[nodiscard]] Direction& direction_of(Phase phase) { return phase < Phase::response ? request_ : response_; }
  void end_wait(Direction& direction) {
    if (direction.token != 0) drop_token(direction);
  }
  void drop_token(Direction& direction);
  void on_pause_too_long();

  Host& host_;
  Subject& subject_;
  event::Timer pause_timer_;
  std::array<Filter*, kMaxFilters> filters_;
  size_t count_ = 0;
  size_t entered_ = 0;            // filters that took part in the request's phases so far
  size_t sees_response_ = 0;      // filters [0, sees_response_) take part in this response
  size_t body_reader_ = kNobody;  // the filter that reads the request's body while the request waits
  Direction request_;
  Direction response_;
  Shared* shared_ = nullptr;
  Answer answer_;
  Phase calling_ = Phase::complete;  // what is being called now
  uint64_t last_ticks_ = 0;          // when the call before ended: then the next one begins
  FilterSet body_readers_ = 0;       // that have a phase for the response's body
  FilterSet readers_ = 0;            // that look at the response's body
  FilterSet replacers_ = 0;          // and that replace it
  std::string piece_;                // of the body as a replacer made it, for the filters before it; if rewritten_
  std::string written_;              // by the replacer that is being called
  bool rewritten_ = false;
  bool wrote_too_much_ = false;
  bool response_began_ = false;
  bool wants_request_body_ = false;
};

}  // namespace sluice::filter
