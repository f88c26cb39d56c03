// Discovery: the addresses that the names of endpoints have now. Each name is looked up when it appears, again when its TTL is
// over, and with back-off when that failed; what was known before stays in use meanwhile. Lives on the control thread; its owner
// tells the workers of changes (Cluster::set_members). The resolver behind `resolve` must end before it.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "event/resolver.h"
#include "event/timer_wheel.h"
#include "snapshot/spec.h"
#include "stats/registry.h"
#include "upstream/member.h"

namespace sluice::upstream {

class Discovery {
 public:
  static constexpr size_t kMaxAddresses = 64;  // of a name; further ones are left alone
  static constexpr Millis kSlowestRetry{30'000};
  static constexpr Millis kPatience{1'000};

  /// What it works with; tests bring their own.
  struct Parts {
    event::TimerWheel& timers;
    std::function<MonoTime()> now;
    std::function<void(const std::string& host, event::Resolver::Callback)> resolve;
    stats::Registry& registry;
    /// addresses_of(host) is another list than before.
    std::function<void(const std::string& host)> on_change;
  };

  /// What is known of a name, for the admin.
  struct Status {
    std::vector<SocketAddress> addresses;
    const char* error = "";  // of the last lookup; empty: none
    bool looked_up = false;  // at least once, with whatever outcome
    MonoTime last_lookup;
    MonoTime next_lookup;  // while one is under way: in the past
  };

  explicit Discovery(Parts parts);
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  /// From now on the names of `clusters` and `stores` are looked up, and no others; those that were watched before go on as they were.
  /// `settled` is called once: when each name has been looked up, which may be before watch() returns, or when kPatience is
  /// over. A further watch() before that drops it.
  void watch(const snapshot::DnsSpec& spec, std::span<const snapshot::ClusterSpec> clusters,
             std::span<const snapshot::StoreSpec> stores, std::function<void()> settled);

  /// In a stable order; empty for a name that never had any.
  [[nodiscard]] std::span<const SocketAddress> addresses_of(const std::string& host) const;
  /// nullptr if the name is not watched.
  [[nodiscard]] const Status* find(const std::string& host) const;

 private:
  struct Name {
    Name(Discovery& owner, const std::string& host);

    Discovery& discovery;
    std::string host;
    uint64_t lookup = 0;    // the one under way; 0: none
    unsigned failures = 0;  // in a row
    bool too_many = false;  // and the user was told
    Status status;
    event::Timer timer;
    stats::SeriesHold hold;
    stats::SeriesId lookups, failed, changes, addresses;
  };

  void look_up(Name& name);
  void on_answer(Name& name, Result<event::Resolver::Answer> answer);
  void on_addresses(Name& name, std::vector<SocketAddress> found);
  void on_failure(Name& name, const char* error);
  void check_settled();
  void settle();

  Parts parts_;
  Random random_;
  snapshot::DnsSpec spec_;
  std::map<std::string, Name> names_;
  uint64_t lookups_ = 0;  // so far
  std::function<void()> settled_;
  event::Timer patience_;
};

}  // namespace sluice::upstream
