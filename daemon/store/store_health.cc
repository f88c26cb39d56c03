#include "store/store_health.h"

#include <algorithm>

#include "base/log.h"

namespace sluice::store {

namespace {
constexpr Millis kBetweenRemarks{1'000};
constexpr Millis kBeforeSameRemark{60'000};

void set(bool& flag, bool value, size_t& count) {
  if (flag == value) return;
  flag = value;
  value ? ++count : --count;
}
}  // namespace

bool StoreHealth::available() const {
  const std::lock_guard lock(mutex_);
  return members_ > 0 && available_ == members_;
}

std::string StoreHealth::complaint() const {
  const std::lock_guard lock(mutex_);
  return lines_.empty() ? std::string() : lines_.back();
}

uint64_t StoreHealth::lines() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

StoreHealth::Member::Member(std::shared_ptr<StoreHealth> health) : health_(std::move(health)) {
  const std::lock_guard lock(health_->mutex_);
  ++health_->members_;
}

StoreHealth::Member::~Member() {
  const std::lock_guard lock(health_->mutex_);
  --health_->members_;
  set(available_, false, health_->available_);
  set(complains_, false, health_->complaining_);
}

// Attempts come twice a second from each connection of each worker, and say the same.
void StoreHealth::Member::complain(std::string_view why, bool available) {
  StoreHealth& health = *health_;
  const MonoTime now = MonoClock::now();
  const std::lock_guard lock(health.mutex_);
  set(available_, available, health.available_);
  set(complains_, true, health.complaining_);
  auto& lines = health.lines_;
  if (lines.size() >= kMaxLines || std::find(lines.begin(), lines.end(), why) != lines.end()) return;
  if (lines.empty() && now < health.quiet_until_) return;  // should it last, the next attempt tells
  if (lines.empty()) health.quiet_until_ = now + kQuiet;
  lines.emplace_back(why);
  ++health.count_;
  log::warn("store {}: {}", health.name_, why);
}

void StoreHealth::Member::update(bool available) {
  StoreHealth& health = *health_;
  const std::lock_guard lock(health.mutex_);
  set(available_, available, health.available_);
  if (available) set(complains_, false, health.complaining_);
  if (health.complaining_ > 0 || health.lines_.empty()) return;
  health.lines_.clear();
  log::info("store {}: it is there again", health.name_);
}

void StoreHealth::Member::remark(std::string_view text) {
  StoreHealth& health = *health_;
  const MonoTime now = MonoClock::now();
  const std::lock_guard lock(health.mutex_);
  const Millis pause = health.remark_ == text ? kBeforeSameRemark : kBetweenRemarks;
  if (now < health.last_remark_ + pause) return;
  health.last_remark_ = now;
  health.remark_ = text;
  log::warn("store {}: {}", health.name_, text);
}

}  // namespace sluice::store
