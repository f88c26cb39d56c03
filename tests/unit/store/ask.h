// One operation on a store that answers at once, as a call of a function; and short ways to write commands.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <string_view>

#include "store/store.h"

namespace sluice::store {

struct Answer {
  Outcome outcome;    // but for its value, which is no longer valid
  std::string value;  // a copy of it

  [[nodiscard]] bool is(Outcome::Kind kind) const { return outcome.kind == kind; }
};

inline Answer ask(Store& store, const Command& command) {
  struct Waiting {
    Answer answer;
    int times = 0;
  } waiting;
  Call call(
      [](void* owner, const Outcome& outcome) {
        auto& self = *static_cast<Waiting*>(owner);
        self.answer = {outcome, std::string(outcome.value)};
        ++self.times;
      },
      &waiting);
  store.submit(command, &call);
  if (waiting.times != 1) FAIL("answered " << waiting.times << " times");  // no CHECK: threads call this too
  waiting.answer.outcome.value = {};
  return waiting.answer;
}

inline Command get(std::string_view key) { return {.operation = Operation::get, .key = key}; }
inline Command touch(std::string_view key, Millis ttl) {
  return {.operation = Operation::touch, .key = key, .ttl = ttl};
}
inline Command put(std::string_view key, std::string_view value, Millis ttl = Seconds(60)) {
  return {.operation = Operation::put, .key = key, .value = value, .ttl = ttl};
}
inline Command put_if_absent(std::string_view key, std::string_view value, Millis ttl = Seconds(60)) {
  return {.operation = Operation::put_if_absent, .key = key, .value = value, .ttl = ttl};
}
inline Command replace_key_if(std::string_view key, std::string_view expected, std::string_view value,
                              Millis ttl = Seconds(60)) {
  return {.operation = Operation::replace_if, .key = key, .value = value, .expected = expected, .ttl = ttl};
}
inline Command remove_key_if(std::string_view key, std::string_view expected) {
  return {.operation = Operation::remove_if, .key = key, .expected = expected};
}
inline Command remove_key(std::string_view key) { return {.operation = Operation::remove, .key = key}; }
inline Command take(std::string_view key, Rate rate) {
  return {.operation = Operation::take, .key = key, .rate = rate};
}
inline Command add(std::string_view key, int64_t amount, Millis ttl = Seconds(60)) {
  return {.operation = Operation::add, .key = key, .ttl = ttl, .amount = amount};
}

}  // namespace sluice::store
