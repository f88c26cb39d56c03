// ratelimit: lets so many requests pass in a time, for each client (or whatever the key is), evenly and with a burst (GCRA). The
// store counts: one in memory for this gateway, one in Redis for all that share it. One question per request.
#include <charconv>

#include "ratelimit/ratelimit_config.h"

namespace sluice::ratelimit {

namespace {

constexpr size_t kMaxKeyBytes = 512;  // of what a client may choose

// A number as header value.
class Number {
 public:
  explicit Number(uint64_t value) : end_(std::to_chars(digits_, digits_ + sizeof(digits_), value).ptr) {}
  [[nodiscard]] std::string_view view() const { return {digits_, static_cast<size_t>(end_ - digits_)}; }

 private:
  char digits_[20];
  char* end_;
};

uint64_t seconds_up(std::chrono::microseconds time) {
  return static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(time).count());
}

}  // namespace

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange), call_(this) {}

  Verdict on_request() {
    char key[kMaxKeyBytes + 128];
    size_t length = config().prefix.copy(key, sizeof(key) - kMaxKeyBytes);
    length += key_value().substr(0, kMaxKeyBytes).copy(key + length, kMaxKeyBytes);
    call_.ask(exchange_.worker(), config().store,
              {.operation = SLUICE_TAKE,
               .key = {key, length},
               .units = config().requests,
               .burst = config().burst,
               .period = config().period});
    if (answered_) return verdict_;
    token_ = exchange_.token();
    return Verdict::pause;
  }

  Verdict on_response() {
    if (!counted_ || !config().tell_limits) return Verdict::go_on;
    exchange_.set_header(Side::response, "RateLimit-Limit", Number(config().requests).view());
    exchange_.set_header(Side::response, "RateLimit-Remaining", Number(remaining_).view());
    exchange_.set_header(Side::response, "RateLimit-Reset", Number(seconds_up(reset_after_)).view());
    return Verdict::go_on;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  [[nodiscard]] std::string_view key_value() const {
    switch (config().key) {
      case KeyKind::client: return exchange_.fact(SLUICE_CLIENT);
      case KeyKind::header: return exchange_.header(Side::request, config().key_name).value_or("");
      case KeyKind::shared: return exchange_.shared(config().key_name).value_or("");
      case KeyKind::route: return exchange_.fact(SLUICE_ROUTE);
      case KeyKind::all: break;
    }
    return {};
  }

  void on_result(const StoreResult& result) {
    verdict_ = judge(result);
    answered_ = true;
    if (token_ != 0) exchange_.worker().resume(token_, verdict_);
  }

  Verdict judge(const StoreResult& result) {
    const WorkerHandle worker = exchange_.worker();
    if (result.outcome == SLUICE_FAILED) return without_store(result.reason);
    counted_ = true;
    remaining_ = result.remaining;
    reset_after_ = result.reset_after;
    if (result.outcome != SLUICE_REFUSED) {
      worker.count(config().allowed);
      return Verdict::go_on;
    }
    worker.count(config().refused);
    const Number seconds(seconds_up(result.retry_after));
    const Header retry{"Retry-After", seconds.view()};
    return exchange_.respond({.status = 429,
                              .headers = {&retry, 1},
                              .reason = "rate_limited",
                              .detail = "Too many requests; Retry-After says when the next one is let through."});
  }

  // Nobody knows how many passed. That is not the client's fault, so it is never 401, 403 or 429.
  Verdict without_store(std::string_view reason) {
    exchange_.worker().count(config().store_errors);
    if (config().open_on_store_error) return Verdict::go_on;
    const Header retry{"Retry-After", "1"};
    return exchange_.respond({.status = 503,
                              .headers = {&retry, 1},
                              .reason = reason,
                              .detail = "The store of the rate limit does not answer, and on_store_error is closed."});
  }

  Exchange exchange_;
  StoreCall<Filter, &Filter::on_result> call_;
  uint64_t token_ = 0;
  Verdict verdict_ = Verdict::go_on;
  bool answered_ = false;
  bool counted_ = false;
  uint32_t remaining_ = 0;
  std::chrono::microseconds reset_after_{0};

  friend class StoreCall<Filter, &Filter::on_result>;
};

}  // namespace sluice::ratelimit

SLUICE_PLUGIN("ratelimit", "1.0", sluice::ratelimit::Config, sluice::NoWorker, sluice::ratelimit::Filter)
