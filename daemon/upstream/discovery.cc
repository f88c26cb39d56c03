#include "upstream/discovery.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"

namespace sluice::upstream {

namespace {

std::string listed(std::span<const SocketAddress> addresses) {
  std::string text;
  for (const SocketAddress& each : addresses) {
    char ip[INET6_ADDRSTRLEN];
    if (!text.empty()) text += ", ";
    text.append(ip, each.write_ip(ip));
  }
  return text;
}

}  // namespace

Discovery::Name::Name(Discovery& owner, const std::string& name)
    : discovery(owner),
      host(name),
      timer(
          owner.parts_.timers,
          [](void* raw) {
            auto& self = *static_cast<Name*>(raw);
            self.discovery.look_up(self);
          },
          this),
      hold(owner.parts_.registry) {
  const auto series = [&](stats::Family family) { return hold.intern(family, {host}); };
  lookups = series(stats::Family::dns_lookups);
  failed = series(stats::Family::dns_failures);
  changes = series(stats::Family::dns_changes);
  addresses = series(stats::Family::dns_addresses);
}

Discovery::Discovery(Parts parts)
    : parts_(std::move(parts)),
      patience_(
          parts_.timers, [](void* self) { static_cast<Discovery*>(self)->settle(); }, this) {}

void Discovery::watch(const snapshot::DnsSpec& spec, std::span<const snapshot::ClusterSpec> clusters,
                      std::span<const snapshot::StoreSpec> stores, std::function<void()> settled) {
  const bool other_servers = spec.servers != spec_.servers;
  spec_ = spec;
  settled_ = nullptr;
  std::set<std::string> wanted;
  for (const snapshot::ClusterSpec& cluster : clusters) {
    for (const snapshot::EndpointSpec& endpoint : cluster.endpoints) {
      if (!endpoint.host.empty()) wanted.insert(endpoint.host);
    }
  }
  for (const snapshot::StoreSpec& store : stores) {
    for (const snapshot::EndpointSpec& server : store.redis.servers) {
      if (!server.host.empty()) wanted.insert(server.host);
    }
  }
  std::erase_if(names_, [&](const auto& entry) {
    const bool gone = !wanted.contains(entry.first);
    if (gone) parts_.registry.control().set(entry.second.addresses, 0);
    return gone;
  });
  for (auto& [host, name] : names_) {
    if (other_servers && name.lookup == 0) look_up(name);
  }
  for (const std::string& host : wanted) {
    if (const auto [name, is_new] = names_.try_emplace(host, *this, host); is_new) look_up(name->second);
  }
  settled_ = std::move(settled);
  patience_.set(parts_.now() + kPatience);
  check_settled();
}

std::span<const SocketAddress> Discovery::addresses_of(const std::string& host) const {
  const Status* status = find(host);
  return status == nullptr ? std::span<const SocketAddress>() : status->addresses;
}

const Discovery::Status* Discovery::find(const std::string& host) const {
  const auto at = names_.find(host);
  return at == names_.end() ? nullptr : &at->second.status;
}

void Discovery::look_up(Name& name) {
  name.timer.cancel();
  name.lookup = ++lookups_;
  parts_.registry.control().add(name.lookups);
  // The name may be forgotten, and even watched anew, before the answer comes.
  parts_.resolve(name.host, [this, host = name.host, lookup = name.lookup](Result<event::Resolver::Answer> answer) {
    const auto at = names_.find(host);
    if (at != names_.end() && at->second.lookup == lookup) on_answer(at->second, std::move(answer));
  });
}

void Discovery::on_answer(Name& name, Result<event::Resolver::Answer> answer) {
  const MonoTime now = parts_.now();
  name.lookup = 0;
  name.status.looked_up = true;
  name.status.last_lookup = now;
  Micros wait;
  if (answer) {
    name.failures = 0;
    wait = std::clamp<Micros>(answer->ttl, spec_.min_ttl, spec_.max_ttl);
  } else {
    constexpr unsigned kMostDoublings = 16;
    const Micros slowest = std::max(spec_.min_ttl, kSlowestRetry);
    wait = std::min<Micros>(Micros(spec_.min_ttl) * (1 << std::min(name.failures++, kMostDoublings)), slowest);
  }
  // Up to a tenth more, so that names that appeared together are not looked up together for ever.
  wait += wait / 1000 * random_.below(101);
  name.status.next_lookup = now + wait;
  name.timer.set(name.status.next_lookup);
  if (answer) {
    on_addresses(name, std::move(answer->addresses));
  } else {
    on_failure(name, answer.error().detail);
  }
  check_settled();
}

void Discovery::on_addresses(Name& name, std::vector<SocketAddress> found) {
  const bool too_many = found.size() > kMaxAddresses;
  if (too_many && !name.too_many) {
    log::warn("dns: {} has {} addresses; the first {} are used", name.host, found.size(), kMaxAddresses);
  }
  name.too_many = too_many;
  if (too_many) found.resize(kMaxAddresses);
  const bool failed_before = *name.status.error != '\0';
  name.status.error = "";
  if (name.status.addresses == found) {
    if (failed_before) log::info("dns: {} is resolved again", name.host);
    return;
  }
  name.status.addresses = std::move(found);
  log::info("dns: {} is {}", name.host, listed(name.status.addresses));
  stats::Shard& shard = parts_.registry.control();
  shard.add(name.changes);
  shard.set(name.addresses, name.status.addresses.size());
  parts_.on_change(name.host);
}

void Discovery::on_failure(Name& name, const char* error) {
  parts_.registry.control().add(name.failed);
  // Told when it begins and when its cause changes, not at every attempt.
  if (std::string_view(name.status.error) != error) {
    const size_t known = name.status.addresses.size();
    log::warn("dns: {} cannot be resolved: {}; {}", name.host, error,
              known == 0 ? "requests that need it are answered 503" : "its addresses of before stay in use");
  }
  name.status.error = error;
}

void Discovery::check_settled() {
  if (!settled_) return;
  const bool all =
      std::all_of(names_.begin(), names_.end(), [](const auto& entry) { return entry.second.status.looked_up; });
  if (all) settle();
}

void Discovery::settle() {
  patience_.cancel();
  if (const auto settled = std::exchange(settled_, nullptr)) settled();
}

}  // namespace sluice::upstream
