// fault: makes a share of the requests slow, or fail, before they reach the upstream: to see what clients do then.
#include <random>

#include "fault/fault_config.h"

namespace sluice::fault {

class Worker {
 public:
  explicit Worker(WorkerHandle) {}

  /// True for that share of the calls, 0..1: never for 0, always for 1.
  bool hits(double share) { return std::bernoulli_distribution(share)(random_); }
  std::chrono::milliseconds up_to(std::chrono::milliseconds most) {
    return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, most.count())(random_));
  }

 private:
  std::mt19937 random_{std::random_device{}()};
};

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange), timer_(this) {}

  Verdict on_request() {
    const bool meant = config().only_with_header.empty() || exchange_.header(Side::request, config().only_with_header);
    if (!meant) return Verdict::go_on;
    Worker& worker = exchange_.worker_state<Worker>();
    aborts_ = worker.hits(config().abort_share);
    if (!worker.hits(config().delay_share)) return end();
    exchange_.worker().count(config().delayed);
    token_ = exchange_.token();
    timer_.set(exchange_.worker(), config().delay + worker.up_to(config().jitter));
    return Verdict::pause;
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  void on_time() { exchange_.worker().resume(token_, end()); }

  Verdict end() {
    if (!aborts_) return Verdict::go_on;
    exchange_.worker().count(config().aborted);
    return exchange_.respond({.status = config().status,
                              .reason = "fault_injected",
                              .detail = "The gateway was told to let this request fail."});
  }

  Exchange exchange_;
  TimerCall<Filter, &Filter::on_time> timer_;  // dies with the exchange, and is cancelled then
  uint64_t token_ = 0;
  bool aborts_ = false;
};

}  // namespace sluice::fault

SLUICE_PLUGIN("fault", "1.0", sluice::fault::Config, sluice::fault::Worker, sluice::fault::Filter)
