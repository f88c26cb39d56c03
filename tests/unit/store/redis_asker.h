// One operation of a test, and a loop to run it on.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "../loop_driver.h"
#include "store/redis_store.h"

namespace sluice::store::test {

/// Submits a command and keeps what comes of it.
class Asker {
 public:
  Asker() : call_([](void* self, const Outcome& got) { static_cast<Asker*>(self)->on_done(got); }, this) {}

  void ask(Store& store, const Command& command) {
    outcome.reset();
    store.submit(command, &call_);
  }
  void cancel() { call_.cancel(); }
  [[nodiscard]] bool is(Outcome::Kind kind) const { return outcome && outcome->kind == kind; }
  [[nodiscard]] bool failed(Reason reason) const { return is(Outcome::Kind::failed) && outcome->reason == reason; }

  std::optional<Outcome> outcome;
  std::string value;
  int answers = 0;

 private:
  void on_done(const Outcome& got) {
    outcome = got;
    value = got.value;
    ++answers;
  }
  Call call_;
};

/// A store on a loop.
struct RedisWorld {
  explicit RedisWorld(RedisOptions options)
      : store(std::make_unique<RedisStore>(loop, with_health(std::move(options)))) {}

  RedisOptions with_health(RedisOptions options) {
    options.name = "test";
    options.health = health;
    return options;
  }
  [[nodiscard]] bool comes_up() {
    return driver.until([this] { return store->available(); });
  }
  /// Runs one operation to its end.
  Outcome run(const Command& command) {
    loop.refresh_now();  // its time runs from here, and not from the loop's last turn
    asker.ask(*store, command);
    REQUIRE(driver.until([this] { return asker.outcome.has_value(); }));
    return *asker.outcome;
  }
  Outcome::Kind kind(const Command& command) { return run(command).kind; }
  [[nodiscard]] const std::string& value() const { return asker.value; }

  event::Loop loop;
  sluice::test::Driver driver{loop};
  std::shared_ptr<StoreHealth> health = std::make_shared<StoreHealth>("test");
  std::unique_ptr<RedisStore> store;
  Asker asker;
};

}  // namespace sluice::store::test
