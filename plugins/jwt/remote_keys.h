// RemoteKeys: the key set that an issuer publishes under a URL, fetched by each worker for itself, and kept until a newer one is there.
//
//   when                             | the next fetch is
//   ---------------------------------|-------------------------------------------------------------------------
//   the worker starts                | at once
//   a fetch succeeded                | `refresh` later, or up to a tenth sooner; at once if a token names a key that is not there,
//                                    | but not sooner than `min_interval` after the last one
//   a fetch failed, there is a set   | `min_interval` later, or up to a tenth more; the set stays
//   a fetch failed, there is no set  | half a second later, and twice as long each time, up to `min_interval`; or up to a tenth more
//
// The tenth is drawn by lot each time: workers, and gateways, that began together do not go on asking the issuer in the same moment.
// There is never more than one fetch at a time. Owned by the worker's state; one thread.
#pragma once

#include <functional>
#include <random>
#include <string>

#include "jwt/key.h"
#include "plugins/sdk.hpp"

namespace sluice::jwt {

struct RemoteRules {
  uint32_t upstream = SLUICE_NONE;
  std::string path = "/.well-known/jwks.json";
  std::string host;
  std::chrono::milliseconds refresh{600'000};
  std::chrono::milliseconds min_interval{10'000};
  std::chrono::milliseconds timeout{3'000};
  KeyRules keys;
};

struct RemoteCounters {
  uint32_t fetched = 0;
  uint32_t failed = 0;
};

class RemoteKeys {
 public:
  /// `on_fetch_over(changed)`: a fetch has ended, with or without success; `changed`: keys are there, or gone, that were not before.
  RemoteKeys(WorkerHandle worker, const RemoteRules& rules, const RemoteCounters& counters,
             std::function<void(bool changed)> on_fetch_over);

  [[nodiscard]] const Keys& keys() const { return keys_; }
  /// Nothing has ever come.
  [[nodiscard]] bool is_empty() const { return !has_set_; }
  /// The last fetch failed, so `keys` may lack what the issuer has.
  [[nodiscard]] bool is_failing() const { return failing_; }
  /// A token names a key that is not here. True if a fetch is under way that may bring it.
  bool want_more();

 private:
  void fetch();
  void on_result(const sluice_http_result& result);
  bool adopt(std::string_view json);
  void tell(sluice_level level, const std::string& what) const;
  std::chrono::milliseconds some_of_a_tenth(std::chrono::milliseconds time);

  WorkerHandle worker_;
  const RemoteRules& rules_;
  const RemoteCounters& counters_;
  std::function<void(bool)> on_fetch_over_;
  Keys keys_;
  bool has_set_ = false;
  bool failing_ = false;
  bool changed_ = false;
  std::chrono::microseconds answered_at_{
      0};  // of the last one's end: however long it took, who waited for it is not sent to wait again
  std::chrono::milliseconds retry_after_;
  std::minstd_rand random_{std::random_device{}()};
  HttpCall<RemoteKeys, &RemoteKeys::on_result> call_;
  TimerCall<RemoteKeys, &RemoteKeys::fetch> timer_;

  friend class HttpCall<RemoteKeys, &RemoteKeys::on_result>;
  friend class TimerCall<RemoteKeys, &RemoteKeys::fetch>;
};

}  // namespace sluice::jwt
