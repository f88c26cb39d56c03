// Cluster: one worker's view of an upstream: its endpoints with their pools, the balancer that picks among them, and the
// retry budget. Endpoints come and go with the addresses of names; who uses one holds it by an EndpointRef. Worker thread
// only.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "snapshot/spec.h"
#include "upstream/member.h"
#include "upstream/pool.h"
#include "upstream/retry_budget.h"

namespace sluice::upstream {

/// One endpoint as a worker sees it: its pool and how fast it answered lately. Freed at the end of the turn in which the last
/// EndpointRef let go of it.
class Endpoint final : public event::Deferred {
 public:
  Endpoint(const PoolShared& shared, const Member& member, const snapshot::ClusterSpec& cluster);

  [[nodiscard]] const SocketAddress& address() const { return address_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint32_t weight() const { return weight_; }
  /// It is that one: `member` changes nothing.
  [[nodiscard]] bool is(const Member& member) const;
  [[nodiscard]] Pool& pool() { return pool_; }
  /// Exchanges that use it or wait for it.
  [[nodiscard]] uint32_t load() const { return pool_.leased() + pool_.pending(); }

  /// The time to the response head of one exchange; moves the average that p2c compares (EWMA, one eighth).
  void observe(MonoTime now, Micros latency);
  /// What p2c compares: lower is better. The average halves with each second of silence, so that an endpoint that was slow
  /// once is tried again.
  [[nodiscard]] double cost(MonoTime now) const;

  /// What smooth round robin owes it.
  int64_t credit = 0;

 private:
  friend class EndpointRef;

  event::Loop& loop_;
  SocketAddress address_;
  std::string name_;
  uint32_t weight_;
  uint32_t holders_ = 0;
  double average_micros_ = 0;
  MonoTime observed_at_;
  std::shared_ptr<const stats::SeriesHold> hold_;  // until the pool has counted its last
  Pool pool_;
};

/// One hold on an endpoint: the cluster's while the endpoint is one of its, and that of each exchange that uses it.
class EndpointRef {
 public:
  EndpointRef() = default;
  explicit EndpointRef(Endpoint& endpoint) : endpoint_(&endpoint) { ++endpoint.holders_; }
  EndpointRef(EndpointRef&& other) noexcept : endpoint_(std::exchange(other.endpoint_, nullptr)) {}
  EndpointRef& operator=(EndpointRef other) noexcept {
    std::swap(endpoint_, other.endpoint_);
    return *this;
  }
  ~EndpointRef() { let_go(); }

  explicit operator bool() const { return endpoint_ != nullptr; }
  [[nodiscard]] Endpoint* get() const { return endpoint_; }
  Endpoint& operator*() const { return *endpoint_; }
  Endpoint* operator->() const { return endpoint_; }

 private:
  friend class Cluster;
  void let_go();
  void let_go_now();
  Endpoint* endpoint_ = nullptr;
};

class Cluster {
 public:
  Cluster(const PoolShared& shared, const snapshot::ClusterSpec& spec, std::span<const Member> members);
  /// Not from inside a callback of one of its pools.
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  /// From now on it has these endpoints. Those that it had before stay with their pools; those that are gone retire: who uses
  /// one goes on, but nobody chooses it any more.
  void set_members(std::span<const Member> members);
  /// No endpoint: the names of all of them were never resolved.
  [[nodiscard]] bool empty() const { return endpoints_.empty(); }

  /// Picks an endpoint for a try, unless empty(). `avoid` is the one that just failed, or nullptr; it is picked again only if
  /// there is no other.
  Endpoint& choose(const Endpoint* avoid);
  /// The configuration has it no more, or not so: exchanges that began with it go on, but no connection is kept for others.
  void retire();

  [[nodiscard]] const snapshot::ClusterSpec& spec() const { return spec_; }
  [[nodiscard]] RetryBudget& retry_budget() { return retry_budget_; }
  [[nodiscard]] const std::vector<EndpointRef>& endpoints() const { return endpoints_; }

 private:
  Endpoint& choose_round_robin();
  Endpoint& choose_random();
  Endpoint& choose_least_request(const Endpoint* avoid);
  Endpoint& choose_two_choices();

  PoolShared shared_;
  snapshot::ClusterSpec spec_;
  std::vector<EndpointRef> endpoints_;
  uint32_t total_weight_ = 0;
  RetryBudget retry_budget_;
};

}  // namespace sluice::upstream
