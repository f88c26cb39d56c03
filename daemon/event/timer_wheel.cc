#include "event/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace sluice::event {

static_assert(sizeof(Timer) <= 64, "every connection carries timers");

namespace {
// The first tick that is not before `time`, so that nothing fires early.
uint64_t tick_at_or_after(MonoTime time) {
  const int64_t micros = std::max<int64_t>(time.time_since_epoch().count(), 0);
  return static_cast<uint64_t>(micros + TimerWheel::kTick.count() - 1) / TimerWheel::kTick.count();
}
uint64_t tick_at_or_before(MonoTime time) {
  const int64_t micros = std::max<int64_t>(time.time_since_epoch().count(), 0);
  return static_cast<uint64_t>(micros) / TimerWheel::kTick.count();
}
}  // namespace

void Timer::set(MonoTime deadline) {
  deadline_tick_ = tick_at_or_after(deadline);
  if (linked()) {
    if (deadline_tick_ >= filed_tick_) return;
    unlink();
  }
  wheel_->file(*this);
}

TimerWheel::TimerWheel(MonoTime start) : next_tick_(tick_at_or_before(start) + 1) {}

void TimerWheel::Level::push(unsigned slot, Timer& timer) {
  slots[slot].push_back(timer);
  occupied[slot / 64] |= uint64_t{1} << (slot % 64);
}

std::optional<unsigned> TimerWheel::Level::distance_from(unsigned start) const {
  for (unsigned distance = 0; distance < kSlots;) {
    const unsigned slot = (start + distance) % kSlots;
    uint64_t& word = occupied[slot / 64];
    const uint64_t ahead = word >> (slot % 64);
    if (ahead == 0) {
      distance += 64 - slot % 64;
      continue;
    }
    const auto skipped = static_cast<unsigned>(std::countr_zero(ahead));
    distance += skipped;
    if (distance >= kSlots) break;
    if (!slots[slot + skipped].empty()) return distance;
    word &= ~(uint64_t{1} << ((slot + skipped) % 64));
  }
  return std::nullopt;
}

void TimerWheel::file(Timer& timer) {
  const uint64_t tick = std::max(timer.deadline_tick_, next_tick_);
  constexpr uint64_t kHorizon = uint64_t{1} << (kBits * kLevels);
  // What lies past the horizon (46 hours) is looked at there and filed again.
  const uint64_t filed = std::min(tick, next_tick_ + kHorizon - 1);
  unsigned level = 0;
  while ((filed - next_tick_) >> (kBits * (level + 1)) != 0) ++level;
  const unsigned shift = kBits * level;
  timer.filed_tick_ = filed >> shift << shift;
  levels_[level].push(static_cast<unsigned>(filed >> shift) % kSlots, timer);
  if (timer.filed_tick_ >= wake_tick_) return;
  wake_tick_ = timer.filed_tick_;
  if (!advancing_ && notify_ != nullptr) notify_(notify_owner_);
}

void TimerWheel::cascade(unsigned level, uint64_t tick) {
  List moved;
  moved.take_all(levels_[level].slots[(tick >> (kBits * level)) % kSlots]);
  while (!moved.empty()) {
    Timer& timer = moved.pop_front();
    if (timer.is_set()) file(timer);
  }
}

// The slot is emptied first: what callbacks file a full turn of the level ahead lands in the same slot and
// must wait.
void TimerWheel::fire_slot(uint64_t tick) {
  List due;
  due.take_all(levels_[0].slots[tick % kSlots]);
  while (!due.empty()) {
    Timer& timer = due.pop_front();
    if (!timer.is_set()) continue;
    if (timer.deadline_tick_ > tick) {
      file(timer);
      continue;
    }
    timer.cancel();
    timer.fire_(timer.owner_);
  }
}

void TimerWheel::advance(MonoTime now) {
  SL_ASSERT(!advancing_);
  advancing_ = true;
  const uint64_t last = tick_at_or_before(now);
  while (next_tick_ <= last) {
    const uint64_t tick = next_event();
    if (tick > last) {
      next_tick_ = last + 1;
      break;
    }
    next_tick_ = tick;
    for (unsigned level = kLevels - 1; level > 0; --level) {
      if (tick % (uint64_t{1} << (kBits * level)) == 0) cascade(level, tick);
    }
    next_tick_ = tick + 1;
    fire_slot(tick);
  }
  wake_tick_ = next_event();
  advancing_ = false;
}

// The first tick at which a slot must be fired or cascaded; kNever if all are empty.
uint64_t TimerWheel::next_event() const {
  uint64_t first = kNever;
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned shift = kBits * level;
    const uint64_t border = (next_tick_ + (uint64_t{1} << shift) - 1) >> shift;  // this level's next slot to come up
    const auto distance = levels_[level].distance_from(static_cast<unsigned>(border % kSlots));
    if (distance) first = std::min(first, (border + *distance) << shift);
  }
  return first;
}

std::optional<MonoTime> TimerWheel::next_wake() const {
  const uint64_t tick = next_event();
  if (tick == kNever) return std::nullopt;
  return MonoTime(kTick * static_cast<int64_t>(tick));
}

void TimerWheel::on_earlier(void (*notify)(void*), void* owner) {
  notify_ = notify;
  notify_owner_ = owner;
}

}  // namespace sluice::event
