#include "ratelimit/ratelimit_config.h"

namespace sluice::ratelimit {

namespace {
constexpr int64_t kMaxRequests = 1'000'000'000;
constexpr int64_t kMaxBurst = 1'000'000;
constexpr std::chrono::hours kLongestPeriod{24};
}  // namespace

Config::Config(Setup& setup) : prefix("rl:" + std::string(setup.instance()) + ":") {
  read_rate(setup);
  read_key(setup);
  setup["headers"].read(tell_limits);
  setup["on_store_error"].choose(open_on_store_error, {{"open", true}, {"closed", false}});
  store = setup.store("store");
  allowed = setup.counter("allowed");
  refused = setup.counter("refused");
  store_errors = setup.counter("store_errors");
}

void Config::read_rate(const Setup& setup) {
  if (!setup["requests"]) setup.error("\"requests\" is missing: how many are allowed in each \"per\"");
  setup["requests"].read(requests, 1, kMaxRequests);
  setup["per"].read(period, std::chrono::milliseconds(1), kLongestPeriod);
  burst = requests < kMaxBurst ? requests : static_cast<uint32_t>(kMaxBurst);
  setup["burst"].read(burst, 1, kMaxBurst);
}

void Config::read_key(const Setup& setup) {
  std::string text = "client";
  const Node node = setup["key"];
  node.read(text);
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  if (colon != std::string::npos) key_name = text.substr(colon + 1);
  if (kind == "client" && key_name.empty()) {
    key = KeyKind::client;
  } else if (kind == "route" && key_name.empty()) {
    key = KeyKind::route;
  } else if (kind == "all" && key_name.empty()) {
    key = KeyKind::all;
  } else if (kind == "header" && !key_name.empty()) {
    key = KeyKind::header;
  } else if (kind == "shared" && !key_name.empty()) {
    key = KeyKind::shared;
  } else {
    node.error("\"" + text + "\" is no key; write client, route, all, header:<name> or shared:<name>");
  }
}

}  // namespace sluice::ratelimit
