// Cluster: one worker's view of an upstream: its endpoints with their pools, the balancer that picks among them, and the
// retry budget. Worker thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "snapshot/spec.h"
#include "upstream/pool.h"
#include "upstream/retry_budget.h"

namespace sluice::upstream {

/// One endpoint as a worker sees it: its pool and how fast it answered lately.
class Endpoint {
 public:
  Endpoint(const PoolShared& shared, const snapshot::EndpointSpec& spec, const snapshot::ClusterSpec& cluster,
           const EndpointSeries& series);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint32_t weight() const { return weight_; }
  [[nodiscard]] Pool& pool() { return pool_; }
  /// Exchanges that use it or wait for it.
  [[nodiscard]] uint32_t load() const { return pool_.leased() + pool_.pending(); }

  /// The time to the response head of one exchange; moves the average that p2c compares (EWMA, one eighth).
  void observe(MonoTime now, Micros latency);
  /// What p2c compares: lower is better. The average halves with each second of silence, so that an endpoint that was slow
  /// once is tried again.
  [[nodiscard]] double cost(MonoTime now) const;

 private:
  std::string name_;
  uint32_t weight_;
  double average_micros_ = 0;
  MonoTime observed_at_;
  Pool pool_;
};

class Cluster {
 public:
  Cluster(const PoolShared& shared, const snapshot::ClusterSpec& spec, const std::vector<EndpointSeries>& series);

  /// Picks an endpoint for a try. `avoid` is the one that just failed, or nullptr; it is picked again only if there is no other.
  Endpoint& choose(const Endpoint* avoid);
  /// The configuration has it no more, or not so: exchanges that began with it go on, but no connection is kept for others.
  void retire();

  [[nodiscard]] const snapshot::ClusterSpec& spec() const { return spec_; }
  [[nodiscard]] RetryBudget& retry_budget() { return retry_budget_; }
  [[nodiscard]] std::vector<std::unique_ptr<Endpoint>>& endpoints() { return endpoints_; }

 private:
  Endpoint& choose_round_robin();
  Endpoint& choose_random();
  Endpoint& choose_least_request(const Endpoint* avoid);
  Endpoint& choose_two_choices();

  snapshot::ClusterSpec spec_;
  const event::Loop& loop_;
  Random& random_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::vector<int64_t> round_robin_credit_;
  uint32_t total_weight_ = 0;
  RetryBudget retry_budget_;
};

}  // namespace sluice::upstream
