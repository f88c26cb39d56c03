#include <algorithm>
#include <catch2/catch.hpp>

#include "../../token_maker.h"
#include "fake_host.h"
#include "jwt/remote_keys.h"

using namespace sluice;
using namespace sluice::jwt;
using namespace std::chrono_literals;
using jwt_test::Signer;
using plugin_test::FakeHost;
using plugin_test::FakeWorker;

namespace {

std::string set_of(std::initializer_list<const char*> ids) {
  static const Signer signer = Signer::ec("ES256", "P-256");
  std::string keys;
  for (const std::string id : ids) keys += (keys.empty() ? "" : ",") + signer.jwk(R"(,"kid":")" + id + "\"");
  return "{\"keys\":[" + keys + "]}";
}

struct InstalledHost : FakeHost {
  InstalledHost() { sluice::host = &table; }
  ~InstalledHost() { sluice::host = nullptr; }
};

// An issuer whose answers are the test's.
struct World {
  /// What has gone on in the log since the last question, without what all lines have.
  std::string logged() {
    std::string lines;
    const std::string front = "key set /.well-known/jwks.json: ";
    for (const std::string& line : std::exchange(host.logged, {})) lines += line.substr(front.size()) + "\n";
    return lines;
  }
  /// True if there is one fetch more within `time`, and none right before it.
  bool fetches_between(std::chrono::microseconds least, std::chrono::microseconds most) {
    const size_t before = host.http_requests;
    host.advance(least - 1us);
    if (host.http_requests != before) return false;
    host.advance(most - least + 1us);
    return host.http_requests == before + 1;
  }

  InstalledHost host;
  FakeWorker worker{host};
  const RemoteRules rules;
  const RemoteCounters counters{host.counter("fetched"), host.counter("failed")};
  std::vector<bool> over;  // of each fetch that has ended: whether keys changed
  RemoteKeys keys{WorkerHandle(&worker), rules, counters, [this](bool changed) { over.push_back(changed); }};
};

}  // namespace

TEST_CASE("a key set is fetched at once, and anew in its time", "[jwt]") {
  World world;
  CHECK(world.host.http_requests == 1);
  CHECK(world.keys.is_empty());
  world.host.answer_http(200, set_of({"a", "b"}));
  CHECK_FALSE(world.keys.is_empty());
  CHECK(world.keys.keys().size() == 2);
  CHECK(world.logged() == "2 keys\n");
  for (int i = 0; i < 3; ++i) {
    CHECK(world.fetches_between(9min, 10min));
    world.host.answer_http(200, set_of({"a", "b"}));
  }
  CHECK(world.over == std::vector<bool>{true, false, false, false});
  CHECK(world.logged().empty());
  CHECK(world.host.counted("fetched") == 4);
  CHECK(world.host.counted("failed") == 0);
}

TEST_CASE("workers that began together do not go on fetching together", "[jwt]") {
  std::vector<std::chrono::microseconds> after_a_set;
  std::vector<std::chrono::microseconds> after_a_failure;
  std::vector<std::chrono::microseconds> without_a_set;
  for (int i = 0; i < 100; ++i) {
    World world;
    world.host.answer_http(200, set_of({"a"}));
    after_a_set.push_back(world.host.next_timer());
    world.host.advance(10min);
    world.host.answer_http(503, "");
    after_a_failure.push_back(world.host.next_timer());
  }
  for (int i = 0; i < 100; ++i) {
    World world;
    world.host.answer_http(503, "");
    without_a_set.push_back(world.host.next_timer());
  }
  const auto are_spread = [](const std::vector<std::chrono::microseconds>& times, auto least, auto most) {
    const auto [first, last] = std::minmax_element(times.begin(), times.end());
    // Half of what there is: by chance not once in 10^27 times.
    return *first >= least && *last <= most && (*last - *first) * 2 > most - least;
  };
  CHECK(are_spread(after_a_set, 9min, 10min));
  CHECK(are_spread(after_a_failure, 10s, 11s));
  CHECK(are_spread(without_a_set, 500ms, 550ms));
}

TEST_CASE("a key that is not there is asked for at once, once in an interval", "[jwt]") {
  World world;
  CHECK(world.keys.want_more());  // it is under way
  CHECK(world.host.http_requests == 1);
  world.host.advance(2s);
  world.host.answer_http(200, set_of({"a"}));
  CHECK_FALSE(world.keys.want_more());
  world.host.advance(10s - 1us);  // since the answer, not since the question
  CHECK_FALSE(world.keys.want_more());
  CHECK(world.host.http_requests == 1);
  world.host.advance(1us);
  CHECK(world.keys.want_more());
  CHECK(world.keys.want_more());
  CHECK(world.host.http_requests == 2);
  CHECK(world.host.timers() == 0);  // the fetch that was planned is this one
  world.host.answer_http(200, set_of({"a", "b"}));
  CHECK(world.keys.keys().size() == 2);
  CHECK_FALSE(world.keys.want_more());
  CHECK(world.host.timers() == 1);
}

TEST_CASE("without a set the next try comes soon, then less often", "[jwt]") {
  World world;
  world.host.answer_http(0, "", "connect_failed");
  CHECK(world.keys.is_empty());
  CHECK(world.keys.is_failing());
  CHECK(world.logged() == "could not be fetched (connect_failed)\n");
  for (const std::chrono::milliseconds wait : {500ms, 1000ms, 2000ms, 4000ms, 8000ms, 10000ms, 10000ms}) {
    CAPTURE(wait.count());
    CHECK(world.fetches_between(wait, wait + wait / 10));
    world.host.answer_http(503, "");
  }
  CHECK(world.logged().empty());  // said once
  CHECK(world.host.counted("failed") == 8);
  CHECK(world.over == std::vector<bool>(8, false));
  CHECK(world.fetches_between(10s, 11s));
  world.host.answer_http(200, set_of({"a"}));
  CHECK_FALSE(world.keys.is_failing());
  CHECK(world.logged() == "1 key\ncan be fetched again\n");
}

TEST_CASE("a set that is there stays while no other one comes", "[jwt]") {
  World world;
  world.host.answer_http(200, set_of({"a"}));
  const Keys before = world.keys.keys();
  world.logged();
  CHECK(world.fetches_between(9min, 10min));
  world.host.answer_http(500, "");
  CHECK(world.logged() == "could not be fetched (status 500); the keys that are there go on\n");
  for (int i = 0; i < 3; ++i) {
    CHECK(world.keys.is_failing());
    CHECK_FALSE(world.keys.is_empty());
    CHECK(world.keys.keys() == before);
    CHECK(world.fetches_between(10s, 11s));  // no oftener, however long it lasts
    world.host.answer_http(200, "<html>");
  }
  CHECK(world.fetches_between(10s, 11s));
  world.host.answer_http(200, set_of({"a"}));
  CHECK_FALSE(world.keys.is_failing());
  CHECK(world.keys.keys() == before);
  CHECK(world.over == std::vector<bool>{true, false, false, false, false, false});
  CHECK(world.host.counted("failed") == 4);
  CHECK(world.host.counted("fetched") == 2);
}

TEST_CASE("what is no set is a failure, and so is one under another status", "[jwt]") {
  for (const std::string body : {"", "[]", "{\"keys\":1}", "<html>"}) {
    CAPTURE(body);
    World world;
    world.host.answer_http(200, body);
    CHECK(world.keys.is_empty());
    CHECK(world.logged() == "could not be fetched (what came is no JWK Set)\n");
  }
  World world;
  world.host.answer_http(503, set_of({"a"}));
  CHECK(world.keys.is_empty());
  CHECK(world.logged() == "could not be fetched (status 503)\n");
}

TEST_CASE("a key that a new set has not is gone, and those that it still has are the same", "[jwt]") {
  World world;
  world.host.answer_http(200, set_of({"a", "b"}));
  const std::weak_ptr<const Key> first = world.keys.keys()[0];
  const std::weak_ptr<const Key> second = world.keys.keys()[1];
  CHECK(world.fetches_between(9min, 10min));
  world.host.answer_http(200, set_of({"b", "c"}));
  CHECK(world.over == std::vector<bool>{true, true});
  CHECK(first.expired());
  CHECK(world.keys.keys()[0] == second.lock());
  CHECK(world.keys.keys()[1]->id == "c");
  CHECK(world.fetches_between(9min, 10min));
  world.host.answer_http(200, "{\"keys\":[]}");  // an issuer may withdraw all
  CHECK(second.expired());
  CHECK_FALSE(world.keys.is_empty());
}
