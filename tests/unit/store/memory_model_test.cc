// Random operations on a MemoryStore and on the simplest thing that could do the same, which must answer alike.
#include <algorithm>
#include <catch2/catch.hpp>
#include <list>
#include <string>

#include "ask.h"
#include "base/random.h"
#include "store/memory_store.h"

using namespace sluice;
using namespace sluice::store;
using Kind = Outcome::Kind;

namespace {

class NaiveStore {
 public:
  Answer ask(const Command& command, MonoTime now) {
    const std::string key(command.key);
    auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
    if (at != entries_.end() && at->deadline <= now) {
      entries_.erase(at);
      at = entries_.end();
    }
    const bool is_there = at != entries_.end();
    if (is_there) entries_.splice(entries_.begin(), entries_, at);
    const auto put = [&](const std::string& value, MonoTime deadline) {
      if (is_there) entries_.erase(at);
      entries_.push_front({key, value, deadline});
      return Answer{{.kind = Kind::done}, {}};
    };
    const auto found = [&] { return Answer{{.kind = Kind::found}, at->value}; };
    const Answer absent{{.kind = Kind::absent}, {}};
    const std::string value(command.value);
    const MonoTime deadline = now + command.ttl;
    switch (command.operation) {
      case Operation::get: return is_there ? found() : absent;
      case Operation::touch:
        if (!is_there) return absent;
        at->deadline = deadline;
        return found();
      case Operation::put: return put(value, deadline);
      case Operation::put_if_absent: return is_there ? found() : put(value, deadline);
      case Operation::replace_if:
        if (!is_there) return absent;
        return at->value.starts_with(command.expected) ? put(value, deadline) : found();
      case Operation::remove_if:
        if (is_there && !at->value.starts_with(command.expected)) return found();
        [[fallthrough]];
      case Operation::remove:
        if (!is_there) return absent;
        entries_.erase(at);
        return {{.kind = Kind::done}, {}};
      case Operation::add: {
        const int64_t sum = (is_there ? std::stoll(at->value) : 0) + command.amount;
        Answer answer = put(std::to_string(sum), is_there ? at->deadline : deadline);
        answer.outcome.sum = sum;
        return answer;
      }
      case Operation::take: break;
    }
    FAIL("not modelled");
    return absent;
  }
  /// The store made room: what was used longest ago is gone.
  void evict_to(size_t entries) {
    while (entries_.size() > entries) entries_.pop_back();
  }

 private:
  struct Entry {
    std::string key;
    std::string value;
    MonoTime deadline;
  };
  std::list<Entry> entries_;  // the front was used last
};

// Numbers for `add` have keys of their own. The strings live in the generator.
class Commands {
 public:
  Commands(uint64_t seed, uint32_t keys, uint32_t longest_value, uint32_t longest_ttl)
      : random_(seed), keys_(keys), longest_value_(longest_value), longest_ttl_(longest_ttl) {}

  Command next() {
    key_ = "key " + std::to_string(random_.below(keys_));
    value_ = std::string(random_.below(longest_value_), static_cast<char>('a' + random_.below(3)));
    expected_ = std::string(random_.below(3), 'a');
    Command command{.operation = static_cast<Operation>(random_.below(kOperations)),
                    .key = key_,
                    .value = value_,
                    .expected = expected_,
                    .ttl = Millis(1 + random_.below(1 + random_.below(longest_ttl_))),
                    .amount = static_cast<int64_t>(random_.below(2'000'000)) - 1'000'000};
    if (command.operation == Operation::take) command.operation = Operation::put;
    if (command.operation == Operation::add) command.key = key_.insert(0, "number of ");
    return command;
  }
  uint32_t below(uint32_t bound) { return random_.below(bound); }

 private:
  Random random_;
  uint32_t keys_, longest_value_, longest_ttl_;
  std::string key_, value_, expected_;
};

void compare(const Answer& real, const Answer& naive) {
  REQUIRE(static_cast<int>(real.outcome.kind) == static_cast<int>(naive.outcome.kind));
  REQUIRE(real.value == naive.value);
  REQUIRE(real.outcome.sum == naive.outcome.sum);
}

}  // namespace

TEST_CASE("random operations and random times give what a naive store gives") {
  for (const uint64_t seed : {1u, 2u, 3u, 4u}) {
    CAPTURE(seed);
    MonoTime now(Seconds(7'000));
    MemoryStore store({.max_bytes = 64u << 20, .now = [&] { return now; }, .shards = seed % 2 == 0 ? 1u : 32u});
    NaiveStore naive;
    Commands commands(seed, 300, 200, seed < 3 ? 3'000 : 20'000'000);
    for (int i = 0; i < 30'000; ++i) {
      const Command command = commands.next();
      compare(ask(store, command), naive.ask(command, now));
      if (commands.below(4) == 0) now += Micros(commands.below(seed < 3 ? 20'000 : 200'000'000));
      if (commands.below(100) == 0) store.sweep();
    }
    REQUIRE(store.figures().evictions == 0);
    REQUIRE(store.figures().expirations > 100);
    now += Seconds(40'000'000);
    while (store.sweep()) {
    }
    REQUIRE(store.figures().entries == 0);
  }
}

TEST_CASE("random operations in too little room leave what a naive store with the same room has") {
  for (const uint64_t seed : {5u, 6u}) {
    CAPTURE(seed);
    const MonoTime now(Seconds(7'000));
    const uint64_t max_bytes = seed == 5 ? 32u << 10 : 200u << 10;
    MemoryStore store({.max_bytes = max_bytes, .now = [&] { return now; }, .shards = 1});
    NaiveStore naive;
    Commands commands(seed, 500, 1'000, 3'600'000);
    for (int i = 0; i < 30'000; ++i) {
      const Command command = commands.next();
      compare(ask(store, command), naive.ask(command, now));
      naive.evict_to(store.figures().entries);
      REQUIRE(store.figures().bytes <= max_bytes);
    }
    REQUIRE(store.figures().evictions > 1'000);
  }
}
