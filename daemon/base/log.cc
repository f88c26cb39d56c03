#include "base/log.h"

#include <poll.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "base/clock.h"
#include "base/output.h"

namespace sluice::log {

namespace {

// For a reader that is slow, as in a burst of lines. One that stopped reading costs its first lost line this long, and the
// others nothing.
constexpr Millis kPatience{20};

// Standard error, whose reader may be a pipe's that has stopped reading: lines are lost then, and nobody waits for it.
class StandardError final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  [[nodiscard]] uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string text;
    if (stuck_) {
      spdlog::memory_buf_t note;
      const std::string told =
          fmt::format("standard error took no more: {} lines of this log lost since the start", lost());
      formatter_->format({message.time, {}, message.logger_name, spdlog::level::warn, told}, note);
      text.append(note.data(), note.size());
    }
    text.append(line.data(), line.size());
    stuck_ = !put(text);
    if (stuck_) lost_.fetch_add(1, std::memory_order_relaxed);
  }
  void flush_() override {}

 private:
  // True if all of it was taken.
  bool put(std::string_view text) {
    const MonoTime until = MonoClock::now() + (stuck_ ? Millis(0) : kPatience);
    while (!text.empty()) {
      const iovec piece{const_cast<char*>(text.data()), text.size()};  // write() only reads
      const ssize_t written = output_.write(&piece, 1);
      if (written > 0) {
        text.remove_prefix(static_cast<size_t>(written));
      } else if (errno != EINTR && (errno != EAGAIN || !wait_until_writable(until))) {
        return false;
      }
    }
    return true;
  }

  bool wait_until_writable(MonoTime until) const {
    const auto left = std::chrono::ceil<Millis>(until - MonoClock::now());
    if (left.count() <= 0) return false;
    pollfd ready{output_.fd(), POLLOUT, 0};
    poll(&ready, 1, static_cast<int>(left.count()));
    return true;
  }

  Output output_ = Output::share(STDERR_FILENO);
  bool stuck_ = false;  // the last line was lost
  std::atomic<uint64_t> lost_{0};
};

const std::shared_ptr<StandardError>& standard_error() {
  static const auto instance = std::make_shared<StandardError>();
  return instance;
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("sluice", standard_error());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}
}  // namespace

void set_level(Level level) { logger().set_level(to_spdlog(level)); }

void write(Level level, std::string_view message) { logger().log(to_spdlog(level), message); }

uint64_t lost_lines() { return standard_error()->lost(); }

}  // namespace sluice::log
