#include "upstream/cluster.h"

#include <algorithm>
#include <cmath>

namespace sluice::upstream {

Endpoint::Endpoint(const PoolShared& shared, const Member& member, const snapshot::ClusterSpec& cluster)
    : loop_(shared.loop),
      address_(member.address),
      name_(member.name),
      weight_(member.weight),
      hold_(member.hold),
      pool_(shared, member.address, cluster.pool, cluster.timeouts, member.series,
            {cluster.tls ? cluster.tls->context : nullptr, member.server_name}, cluster.proxy_protocol,
            cluster.protocol) {}

bool Endpoint::is(const Member& member) const {
  return address_ == member.address && weight_ == member.weight && pool_.server_name() == member.server_name;
}

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

// Deferred: its pool may be on the stack.
void EndpointRef::let_go() {
  Endpoint* endpoint = std::exchange(endpoint_, nullptr);
  if (endpoint != nullptr && --endpoint->holders_ == 0) {
    endpoint->loop_.defer_delete(std::unique_ptr<event::Deferred>(endpoint));
  }
}

void EndpointRef::let_go_now() {
  Endpoint* endpoint = std::exchange(endpoint_, nullptr);
  if (--endpoint->holders_ == 0) delete endpoint;
}

Cluster::Cluster(const PoolShared& shared, const snapshot::ClusterSpec& spec, std::span<const Member> members)
    : shared_(shared), spec_(spec), retry_budget_(spec.retry.budget) {
  set_members(members);
}

Cluster::~Cluster() {
  for (EndpointRef& endpoint : endpoints_) endpoint.let_go_now();
}

void Cluster::set_members(std::span<const Member> members) {
  std::vector<EndpointRef> next;
  next.reserve(members.size());
  total_weight_ = 0;
  for (const Member& member : members) {
    total_weight_ += member.weight;
    const auto same = std::find_if(endpoints_.begin(), endpoints_.end(),
                                   [&](const EndpointRef& each) { return each && each->is(member); });
    next.push_back(same != endpoints_.end() ? std::move(*same) : EndpointRef(*new Endpoint(shared_, member, spec_)));
  }
  for (const EndpointRef& gone : endpoints_) {
    if (gone) gone->pool().retire();
  }
  endpoints_ = std::move(next);
}

void Cluster::retire() {
  for (const auto& endpoint : endpoints_) endpoint->pool().retire();
}

Endpoint& Cluster::choose(const Endpoint* avoid) {
  SL_ASSERT(!endpoints_.empty());
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
  return endpoints_.front().get() == avoid ? *endpoints_[1] : *endpoints_.front();
}

// Smooth weighted round robin: every turn each endpoint earns its weight, the richest is picked and pays the total.
Endpoint& Cluster::choose_round_robin() {
  Endpoint* best = nullptr;
  for (const EndpointRef& each : endpoints_) {
    each->credit += each->weight();
    if (best == nullptr || each->credit > best->credit) best = each.get();
  }
  best->credit -= total_weight_;
  return *best;
}

Endpoint& Cluster::choose_random() {
  uint32_t ticket = shared_.random.below(total_weight_);
  for (const auto& endpoint : endpoints_) {
    if (ticket < endpoint->weight()) return *endpoint;
    ticket -= endpoint->weight();
  }
  return *endpoints_.back();
}

// Ties (the rule when traffic is light) are broken by starting at a random place.
// The one to avoid is left out here: it has failed, so it is likely to have the least load, and further draws would not help.
Endpoint& Cluster::choose_least_request(const Endpoint* avoid) {
  const size_t start = shared_.random.below(static_cast<uint32_t>(endpoints_.size()));
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
  const uint32_t first = shared_.random.below(count);
  uint32_t second = shared_.random.below(count - 1);
  if (second >= first) ++second;
  Endpoint& a = *endpoints_[first];
  Endpoint& b = *endpoints_[second];
  const double cost_a = a.cost(shared_.loop.now());
  const double cost_b = b.cost(shared_.loop.now());
  if (uint64_t{a.load()} * b.weight() != uint64_t{b.load()} * a.weight()) return cost_a <= cost_b ? a : b;
  constexpr uint32_t kCoin = 1u << 20;
  return shared_.random.below(kCoin) * (cost_a + cost_b) < cost_b * kCoin ? a : b;
}

}  // namespace sluice::upstream
