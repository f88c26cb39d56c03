// LogWriter: the one thread that puts the access log lines of all workers on disk, straight from their rings
// (writev, no copy). The process owns one; it makes the rings, and it must outlive the workers that fill
// them.
//
//   thread:  drain ──wrote──> nap (lines gather)          ──> drain
//                  ──nothing─> idle until a worker rings  ──> drain
//                  ──blocked─> until it takes more       ──> drain   (rings fill meanwhile, drop and count)
//
// Lines are on disk some 10 ms after they were written. A disk that is full or fails costs lines, counted and
// reported to the application log once a minute; the gateway goes on. Without traffic the thread sleeps
// without a timeout.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "proxy/access_log_sink.h"
#include "proxy/log_ring.h"

namespace sluice::proxy {

class LogWriter {
 public:
  /// `path` as in AccessLogSpec; one ring per worker.
  LogWriter(std::string path, size_t rings, size_t ring_bytes = LogRing::kDefaultBytes);
  ~LogWriter() { stop(); }
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  [[nodiscard]] LogRing& ring(size_t worker) { return *rings_[worker]; }

  /// Opens the path and starts the thread. False: nothing runs, and `error` says why.
  [[nodiscard]] bool start(std::string& error);
  /// Opens the path again, so that a rotated file is let go of. Returns at once; any thread. A failure keeps
  /// the old file and goes to the application log. Lines from before the call go to the old file, unless that is blocked;
  /// those from after it go to the new one.
  void reopen();
  /// The same with `next`, which is open.
  void switch_to(AccessLogSink next);

  /// Writes what the rings hold, and ends the thread. If the output is blocked it is given kStopPatience;
  /// what is left then counts as lost. Idempotent; the owner's thread, once no worker writes any more.
  void stop();

  // Any thread:
  /// Lines that reached the writer, but not the output.
  [[nodiscard]] uint64_t lost_lines() const { return lost_.load(std::memory_order_relaxed); }
  /// Lines that found their ring full.
  [[nodiscard]] uint64_t dropped_lines() const;
  /// How often the path has been opened, the first time included.
  [[nodiscard]] uint64_t opened() const { return opened_.load(std::memory_order_acquire); }
  /// The thread sleeps until a worker wakes it.
  [[nodiscard]] bool idle() const { return bell_.idle(); }

 private:
  static constexpr Millis kNap{10};
  static constexpr Millis kStopPatience{2'000};
  static constexpr Seconds kReportEvery{60};
  static constexpr size_t kNoRing = SIZE_MAX;  // a piece of our own

  enum class Drained { nothing, wrote, blocked };

  void run();
  Drained drain();
  void collect();
  void add_piece(std::string_view bytes, size_t ring);
  void consume(size_t bytes);
  void lose(const char* why);
  void ask_for_change(std::optional<AccessLogSink> next);
  [[nodiscard]] bool change_is_due(Drained drained) const;
  void change_sink();
  void sleep_until_rung();
  void wait(int writable_fd, Millis timeout);
  [[nodiscard]] bool nothing_to_do() const;

  LogBell bell_;
  std::vector<std::unique_ptr<LogRing>> rings_;
  AccessLogSink sink_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> change_wanted_{false};
  std::mutex mutex_;                         // guards the next two
  std::optional<AccessLogSink> next_sink_;   // none: the path is opened again
  std::vector<uint64_t> lines_of_old_sink_;  // by ring: where the lines from before the wish end
  std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> opened_{0};

  // The thread's own:
  std::vector<iovec> pieces_;               // what one drain() writes
  std::vector<std::string_view> readable_;  // by ring
  std::vector<size_t> piece_ring_;          // whose it is
  size_t next_piece_ = 0;                   // pieces before it are written
  size_t first_ring_ = 0;                   // collect() begins here: the ring whose line a short write cut
  bool changing_ = false;                   // the lines up to lines_of_old_sink_ come first, then the change
  bool mid_line_ = false;                   // the output ends within a line
  bool torn_ = false;                       // ... whose rest is lost: a newline must come first
  std::optional<MonoTime> reported_;
};

}  // namespace sluice::proxy
