// basic-auth: lets requests pass whose Authorization names a user and its password (RFC 7617). As a listener's plugin it does so
// before routing, so that nobody learns which routes there are.
#include <crypt.h>
#include <string.h>

#include <chrono>
#include <cstring>

#include "basic-auth/basic-auth_config.h"
#include "basic-auth/credentials.h"
#include "basic-auth/failure_limit.h"
#include "common/strip_fields.h"
#include "common/verdict_cache.h"

namespace sluice::basic_auth {

namespace {

constexpr Time kRemembered = std::chrono::minutes(5);

}  // namespace

struct Worker {
  explicit Worker(WorkerHandle) {}

  Sha256 sha256;
  Digest secret = random_digest();
  VerdictCache good;
  VerdictCache bad;  // apart, so that wrong ones, however many, never drive out a good one
  FailureLimit failures;
  TimeBudget budget;
  crypt_data scratch{};
};

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}

  Verdict on_begin() {
    const auto authorization = exchange_.header(Side::request, "Authorization");
    if (!authorization) return refuse(config().missing, "basic_auth_missing", "Credentials are needed.");
    Credentials credentials;
    const bool twice = exchange_.header(Side::request, "Authorization", 1).has_value();
    if (twice || !credentials.parse(*authorization)) return refuse_invalid();

    Worker& state = worker();
    const Time now = exchange_.worker().now();
    const Digest key = state.sha256({as_text(state.secret), credentials.all()});
    if (const auto user = state.good.find(key, now)) {
      exchange_.worker().count(config().cached);
      return accept(config().users[*user]);
    }
    if (state.bad.find(key, now)) return refuse_invalid();
    const size_t client = client_index();
    if (const Time wait = state.failures.wait(client, now); wait > Time(0)) return postpone_client(wait);
    if (!state.budget.has_some(now)) return postpone_all();
    const User* user = find(credentials);
    if (user != nullptr) {
      state.good.put(key, static_cast<uint32_t>(user - config().users.data()), now + kRemembered);
      return accept(*user);
    }
    state.bad.put(key, 0, now + kRemembered);
    state.failures.failed(client, now);
    return refuse_invalid();
  }

 private:
  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }
  [[nodiscard]] Worker& worker() const { return exchange_.worker_state<Worker>(); }

  // Whose credentials they are. A name that nobody has takes as long as one that somebody has.
  [[nodiscard]] const User* find(const Credentials& credentials) const {
    Worker& state = worker();
    const User* user = config().find(credentials.user());
    const std::string& hash = user == nullptr ? config().users.front().hash : user->hash;
    const auto began = std::chrono::steady_clock::now();
    const char* made = crypt_rn(credentials.password(), hash.c_str(), &state.scratch, sizeof(state.scratch));
    const bool equal = made != nullptr && equal_in_constant_time(made, hash);
    explicit_bzero(&state.scratch, sizeof(state.scratch));
    const auto took = std::chrono::duration_cast<Time>(std::chrono::steady_clock::now() - began);
    state.budget.take(took);
    exchange_.worker().observe(config().hash_time, took);
    return equal ? user : nullptr;
  }

  [[nodiscard]] size_t client_index() const {
    const Digest digest = worker().sha256({as_text(worker().secret), "client ", exchange_.fact(SLUICE_CLIENT)});
    size_t index;
    std::memcpy(&index, digest.data(), sizeof(index));
    return index;
  }

  Verdict accept(const User& user) {
    exchange_.worker().count(config().accepted);
    exchange_.set_shared("auth.user", user.name);
    if (!config().header.empty()) {
      strip_field(exchange_, config().header);
      exchange_.set_header(Side::request, config().header, user.name);
    }
    if (!config().forward_authorization) exchange_.remove_header(Side::request, "Authorization");
    return Verdict::go_on;
  }

  Verdict refuse_invalid() {
    return refuse(config().invalid, "basic_auth_invalid", "The user or the password is wrong.");
  }

  Verdict refuse(uint32_t counter, std::string_view reason, std::string_view detail) {
    exchange_.worker().count(counter);
    const Header challenge{"WWW-Authenticate", config().challenge};
    return exchange_.respond({.status = 401, .headers = {&challenge, 1}, .reason = reason, .detail = detail});
  }

  Verdict postpone_client(Time wait) {
    exchange_.worker().count(config().limited);
    const std::string seconds = std::to_string((wait.count() + 999'999) / 1'000'000);
    const Header retry{"Retry-After", seconds};
    return exchange_.respond({.status = 429,
                              .headers = {&retry, 1},
                              .reason = "basic_auth_limited",
                              .detail = "Too many wrong passwords came from this address."});
  }

  Verdict postpone_all() {
    exchange_.worker().count(config().busy);
    const Header retry{"Retry-After", "1"};
    return exchange_.respond({.status = 503,
                              .headers = {&retry, 1},
                              .reason = "basic_auth_busy",
                              .detail = "Too many passwords are being checked."});
  }

  Exchange exchange_;
};

}  // namespace sluice::basic_auth

SLUICE_PLUGIN("basic-auth", "1.0", sluice::basic_auth::Config, sluice::basic_auth::Worker, sluice::basic_auth::Filter)
