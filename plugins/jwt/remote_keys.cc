#include "jwt/remote_keys.h"

namespace sluice::jwt {

namespace {
constexpr std::chrono::milliseconds kFirstRetry{500};
}  // namespace

RemoteKeys::RemoteKeys(WorkerHandle worker, const RemoteRules& rules, const RemoteCounters& counters,
                       std::function<void(bool)> on_fetch_over)
    : worker_(worker),
      rules_(rules),
      counters_(counters),
      on_fetch_over_(std::move(on_fetch_over)),
      retry_after_(std::min(kFirstRetry, rules.min_interval)),
      call_(this),
      timer_(this) {
  fetch();
}

bool RemoteKeys::want_more() {
  if (call_.waiting()) return true;
  if (worker_.now() - answered_at_ < rules_.min_interval) return false;
  fetch();
  return true;
}

void RemoteKeys::fetch() {
  timer_.cancel();
  const Header accept{"Accept", "application/jwk-set+json, application/json"};
  call_.ask(worker_, {.upstream = rules_.upstream,
                      .target = rules_.path,
                      .host = rules_.host,
                      .headers = {&accept, 1},
                      .timeout = rules_.timeout});
}

void RemoteKeys::on_result(const sluice_http_result& result) {
  answered_at_ = worker_.now();
  changed_ = false;
  const bool was_failing = failing_;
  failing_ = result.status != 200 || !adopt(to_view(result.body));
  worker_.count(failing_ ? counters_.failed : counters_.fetched);
  if (failing_ && !was_failing) {
    const std::string why = result.status == 0     ? std::string(to_view(result.reason))
                            : result.status == 200 ? "what came is no JWK Set"
                                                   : "status " + std::to_string(result.status);
    tell(SLUICE_WARN, "could not be fetched (" + why + ")" + (has_set_ ? "; the keys that are there go on" : ""));
  }
  if (!failing_ && was_failing) tell(SLUICE_INFO, "can be fetched again");
  if (!failing_) {
    timer_.set(worker_, rules_.refresh - some_of_a_tenth(rules_.refresh));
  } else if (has_set_) {
    timer_.set(worker_, rules_.min_interval + some_of_a_tenth(rules_.min_interval));
  } else {
    timer_.set(worker_, retry_after_ + some_of_a_tenth(retry_after_));
    retry_after_ = std::min(retry_after_ * 2, rules_.min_interval);
  }
  on_fetch_over_(changed_);
}

bool RemoteKeys::adopt(std::string_view json) {
  auto parsed = parse_keys(json, rules_.keys);
  if (!parsed) return false;
  Keys fresh = keep_known(keys_, std::move(parsed->keys));
  if (!has_set_ || fresh != keys_) {  // by address: what is the same key is the same object
    changed_ = true;
    tell(SLUICE_INFO, std::to_string(fresh.size()) + (fresh.size() == 1 ? " key" : " keys") +
                          (parsed->skipped.empty() ? "" : "; left out: " + parsed->skipped));
  }
  keys_ = std::move(fresh);
  has_set_ = true;
  return true;
}

std::chrono::milliseconds RemoteKeys::some_of_a_tenth(std::chrono::milliseconds time) {
  return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, time.count() / 10)(random_));
}

void RemoteKeys::tell(sluice_level level, const std::string& what) const {
  worker_.log(level, "key set " + rules_.path + ": " + what);
}

}  // namespace sluice::jwt
