// StoreHealth: what all workers together know of one Redis store: whether it can be used, and what is wrong with it, which the
// log hears once for the process. Shared by the RedisStores of one store of the configuration, and by whoever wants to know.
// Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace sluice::store {

class StoreHealth {
 public:
  /// Of one loss; what else goes wrong before the store is back is not logged.
  static constexpr size_t kMaxLines = 8;
  /// At least, between the first line of one loss and that of the next.
  static constexpr Millis kQuiet{1'000};

  /// `name`: for the log.
  explicit StoreHealth(std::string name) : name_(std::move(name)) {}

  /// Every worker has a client, and all of them can carry out operations.
  [[nodiscard]] bool available() const;
  /// What was logged last of what is wrong now; empty if all is well, or the log has not heard of it.
  [[nodiscard]] std::string complaint() const;
  /// Lines about losses so far.
  [[nodiscard]] uint64_t lines() const;

  /// One worker's client. Its functions are called on that worker's thread.
  class Member {
   public:
    explicit Member(std::shared_ptr<StoreHealth> health);
    ~Member();
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    /// A connection was lost or could not be made, `why`; the rest may be enough to be `available`.
    void complain(std::string_view why, bool available);
    /// A connection came, or others are meant now. Once no member has anything to complain of, the store is back.
    void update(bool available);
    /// An answer that says what the user should know; a client may be able to cause it.
    void remark(std::string_view text);

    [[nodiscard]] const StoreHealth& health() const { return *health_; }

   private:
    std::shared_ptr<StoreHealth> health_;
    bool available_ = false;
    bool complains_ = false;
  };

 private:
  std::string name_;
  mutable std::mutex mutex_;  // guards what follows
  size_t members_ = 0;
  size_t available_ = 0;            // of the members
  size_t complaining_ = 0;          // likewise
  std::vector<std::string> lines_;  // logged since the store was whole
  uint64_t count_ = 0;
  MonoTime quiet_until_{};
  std::string remark_;
  MonoTime last_remark_{};
};

}  // namespace sluice::store
