#include "upstream/cluster.h"

#include <algorithm>
#include <cmath>

namespace sluice::upstream {

Endpoint::Endpoint(const PoolShared& shared, const snapshot::EndpointSpec& spec, const snapshot::ClusterSpec& cluster,
                   const EndpointSeries& series)
    : name_(spec.name), weight_(spec.weight), pool_(shared, spec.address, cluster.pool, cluster.timeouts, series) {}

void Endpoint::observe(MonoTime now, Micros latency) {
  const auto micros = static_cast<double>(latency.count());
  average_micros_ = average_micros_ == 0 ? micros : average_micros_ + (micros - average_micros_) / 8;
  observed_at_ = now;
}

double Endpoint::cost(MonoTime now) const {
  // Differences below a millisecond are noise, not a reason to leave an endpoint alone.
  constexpr double kNoiseMicros = 1000;
  // Who has requests and never answered one may be a black hole: it counts as slow until it shows otherwise.
  constexpr double kUnknownMicros = 1e6;
  if (average_micros_ == 0 && load() > 0) return kUnknownMicros * (load() + 1) / weight_;
  const auto silent_seconds = static_cast<int>(std::min<int64_t>((now - observed_at_) / Seconds(1), 60));
  return (std::ldexp(average_micros_, -silent_seconds) + kNoiseMicros) * (load() + 1) / weight_;
}

Cluster::Cluster(const PoolShared& shared, const snapshot::ClusterSpec& spec, const std::vector<EndpointSeries>& series)
    : spec_(spec),
      loop_(shared.loop),
      random_(shared.random),
      round_robin_credit_(spec.endpoints.size()),
      retry_budget_(spec.retry.budget) {
  SL_ASSERT(!spec.endpoints.empty() && series.size() == spec.endpoints.size());
  for (size_t i = 0; i < spec.endpoints.size(); ++i) {
    endpoints_.push_back(std::make_unique<Endpoint>(shared, spec.endpoints[i], spec, series[i]));
    total_weight_ += spec.endpoints[i].weight;
  }
}

void Cluster::retire() {
  for (const auto& endpoint : endpoints_) endpoint->pool().retire();
}

Endpoint& Cluster::choose(const Endpoint* avoid) {
  if (endpoints_.size() == 1) return *endpoints_.front();
  // A retry goes elsewhere: a few draws, then simply the next one.
  for (int draw = 0; draw < 3; ++draw) {
    Endpoint* chosen = nullptr;
    switch (spec_.balance) {
      case snapshot::Balance::round_robin: chosen = &choose_round_robin(); break;
      case snapshot::Balance::random: chosen = &choose_random(); break;
      case snapshot::Balance::least_request: chosen = &choose_least_request(avoid); break;
      case snapshot::Balance::p2c: chosen = &choose_two_choices(); break;
    }
    if (chosen != avoid) return *chosen;
  }
  return *(endpoints_.front().get() == avoid ? endpoints_[1] : endpoints_.front());
}

// Smooth weighted round robin: every turn each endpoint earns its weight, the richest is picked and pays the total.
Endpoint& Cluster::choose_round_robin() {
  size_t best = 0;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    round_robin_credit_[i] += endpoints_[i]->weight();
    if (round_robin_credit_[i] > round_robin_credit_[best]) best = i;
  }
  round_robin_credit_[best] -= total_weight_;
  return *endpoints_[best];
}

Endpoint& Cluster::choose_random() {
  uint32_t ticket = random_.below(total_weight_);
  for (const auto& endpoint : endpoints_) {
    if (ticket < endpoint->weight()) return *endpoint;
    ticket -= endpoint->weight();
  }
  return *endpoints_.back();
}

// Ties (the rule when traffic is light) are broken by starting at a random place.
// The one to avoid is left out here: it has failed, so it is likely to have the least load, and further draws would not help.
Endpoint& Cluster::choose_least_request(const Endpoint* avoid) {
  const size_t start = random_.below(static_cast<uint32_t>(endpoints_.size()));
  Endpoint* best = nullptr;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    Endpoint& each = *endpoints_[(start + i) % endpoints_.size()];
    if (&each == avoid) continue;
    const auto scaled = [](const Endpoint& e, uint32_t other_weight) { return uint64_t{e.load()} * other_weight; };
    if (best == nullptr || scaled(each, best->weight()) < scaled(*best, each.weight())) best = &each;
  }
  return *best;
}

// Power of two choices (Mitzenmacher 2001), over load times average latency. Between two that are equally loaded a coin
// decides, weighted by their costs: the faster one gets more, but the other is tried now and then and can show that it
// recovered.
Endpoint& Cluster::choose_two_choices() {
  const auto count = static_cast<uint32_t>(endpoints_.size());
  const uint32_t first = random_.below(count);
  uint32_t second = random_.below(count - 1);
  if (second >= first) ++second;
  Endpoint& a = *endpoints_[first];
  Endpoint& b = *endpoints_[second];
  const double cost_a = a.cost(loop_.now());
  const double cost_b = b.cost(loop_.now());
  if (uint64_t{a.load()} * b.weight() != uint64_t{b.load()} * a.weight()) return cost_a <= cost_b ? a : b;
  constexpr uint32_t kCoin = 1u << 20;
  return random_.below(kCoin) * (cost_a + cost_b) < cost_b * kCoin ? a : b;
}

}  // namespace sluice::upstream
