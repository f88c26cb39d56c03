#include "proxy/log_writer.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "base/log.h"

namespace sluice::proxy {

namespace {
std::string error_text(int error) { return std::generic_category().message(error); }
}  // namespace

LogWriter::LogWriter(std::string path, size_t rings, size_t ring_bytes) : sink_(std::move(path)) {
  for (size_t i = 0; i < rings; ++i) rings_.push_back(std::make_unique<LogRing>(bell_, ring_bytes));
}

bool LogWriter::start(std::string& error) {
  SL_ASSERT(!thread_.joinable());
  if (const int failed = sink_.open(); failed != 0) {
    error = "access log " + sink_.path() + ": " + error_text(failed);
    return false;
  }
  opened_.fetch_add(1, std::memory_order_release);
  // The thread inherits a mask that blocks every signal: they are the control thread's, and SIGPIPE must not
  // end us.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return true;
}

void LogWriter::reopen() { ask_for_change(std::nullopt); }

void LogWriter::switch_to(AccessLogSink next) { ask_for_change(std::move(next)); }

void LogWriter::ask_for_change(std::optional<AccessLogSink> next) {
  {
    const std::lock_guard lock(mutex_);
    if (next) next_sink_ = std::move(next);
    lines_of_old_sink_.clear();
    for (const auto& ring : rings_) lines_of_old_sink_.push_back(ring->published());
    change_wanted_.store(true, std::memory_order_seq_cst);
  }
  bell_.ring();
}

void LogWriter::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_seq_cst);
  bell_.ring();
  thread_.join();
  stopping_.store(false, std::memory_order_relaxed);
}

uint64_t LogWriter::dropped_lines() const {
  uint64_t sum = 0;
  for (const auto& ring : rings_) sum += ring->dropped();
  return sum;
}

void LogWriter::run() {
  std::optional<MonoTime> deadline;
  for (;;) {
    // Looked at before drain(), which so misses no line from before stop().
    const bool stopping = stopping_.load(std::memory_order_seq_cst);
    if (stopping && !deadline) deadline = MonoClock::now() + kStopPatience;
    const Drained drained = drain();
    if (change_is_due(drained)) {
      change_sink();
      continue;
    }
    if (stopping && drained == Drained::nothing) return;
    const Micros patience = stopping ? *deadline - MonoClock::now() : Micros::max();
    if (patience <= Micros(0)) {
      lose("the output stayed blocked");
      return;
    }
    switch (drained) {
      case Drained::nothing: sleep_until_rung(); break;
      case Drained::wrote: wait(-1, stopping || changing_ ? Millis(0) : kNap); break;
      case Drained::blocked: wait(sink_.fd(), stopping ? std::chrono::ceil<Millis>(patience) : Millis(-1)); break;
    }
  }
}

// Writes what the rings hold now. What arrives meanwhile is left for the next time, so that a busy worker's
// lines gather.
LogWriter::Drained LogWriter::drain() {
  collect();
  if (pieces_.empty()) return Drained::nothing;
  while (next_piece_ < pieces_.size()) {
    const ssize_t written = sink_.write(&pieces_[next_piece_], pieces_.size() - next_piece_);
    if (written >= 0) {
      consume(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      return Drained::blocked;
    } else if (errno != EINTR) {
      lose(error_text(errno).c_str());
    }
  }
  return Drained::wrote;
}

// Behind the lines that came before the wish, and not within a line: its rest belongs where its beginning went.
bool LogWriter::change_is_due(Drained drained) const { return changing_ && !mid_line_ && drained != Drained::wrote; }

void LogWriter::collect() {
  // Looked at before the wish is: who finds a line from behind it finds the wish too.
  readable_.clear();
  for (const auto& ring : rings_) readable_.push_back(ring->readable());
  changing_ = change_wanted_.load(std::memory_order_seq_cst);
  std::vector<uint64_t> ends;
  if (changing_) {
    const std::lock_guard lock(mutex_);
    ends = lines_of_old_sink_;
  }
  pieces_.clear();
  piece_ring_.clear();
  next_piece_ = 0;
  for (size_t i = 0; i < rings_.size(); ++i) {
    const size_t ring = (first_ring_ + i) % rings_.size();
    std::string_view bytes = readable_[ring];
    if (changing_) bytes = bytes.substr(0, ends[ring] - std::min(ends[ring], rings_[ring]->released()));
    if (bytes.empty()) continue;
    if (torn_ && pieces_.empty()) add_piece("\n", kNoRing);
    add_piece(bytes, ring);
  }
}

void LogWriter::add_piece(std::string_view bytes, size_t ring) {
  pieces_.push_back({const_cast<char*>(bytes.data()), bytes.size()});  // writev only reads
  piece_ring_.push_back(ring);
}

void LogWriter::consume(size_t bytes) {
  while (bytes > 0) {
    iovec& piece = pieces_[next_piece_];
    const size_t ring = piece_ring_[next_piece_];
    const size_t part = std::min(bytes, piece.iov_len);
    char* const begin = static_cast<char*>(piece.iov_base);
    mid_line_ = begin[part - 1] != '\n';
    piece = {begin + part, piece.iov_len - part};
    if (piece.iov_len == 0) ++next_piece_;
    if (ring == kNoRing) {
      torn_ = false;
    } else {
      first_ring_ = ring;
      rings_[ring]->release(part);
    }
    bytes -= part;
  }
}

// Gives up on what collect() found and is not written. The rings then hold whole lines only, since a worker
// publishes nothing else.
void LogWriter::lose(const char* why) {
  uint64_t lines = 0;
  for (; next_piece_ < pieces_.size(); ++next_piece_) {
    if (piece_ring_[next_piece_] == kNoRing) continue;
    const auto* bytes = static_cast<const char*>(pieces_[next_piece_].iov_base);
    const size_t length = pieces_[next_piece_].iov_len;
    lines += static_cast<uint64_t>(std::count(bytes, bytes + length, '\n'));
    rings_[piece_ring_[next_piece_]]->release(length);
  }
  torn_ = torn_ || mid_line_;
  mid_line_ = false;
  const uint64_t lost = lost_.fetch_add(lines, std::memory_order_relaxed) + lines;
  const MonoTime now = MonoClock::now();
  if (reported_ && now - *reported_ < kReportEvery) return;
  reported_ = now;
  log::error("access log {}: {}; {} lines lost since the start", sink_.path(), why, lost);
}

void LogWriter::change_sink() {
  {
    const std::lock_guard lock(mutex_);
    change_wanted_.store(false, std::memory_order_seq_cst);
    if (next_sink_) {
      sink_ = std::move(*next_sink_);
      next_sink_.reset();
      torn_ = false;
      opened_.fetch_add(1, std::memory_order_release);
      return;
    }
  }
  if (const int failed = sink_.open(); failed != 0) {
    log::error("access log {}: cannot reopen: {}; the old file stays in use", sink_.path(), error_text(failed));
    return;
  }
  torn_ = false;
  opened_.fetch_add(1, std::memory_order_release);
}

void LogWriter::sleep_until_rung() {
  bell_.set_idle(true);
  if (nothing_to_do()) wait(-1, Millis(-1));  // looked at after set_idle(): see LogBell
  bell_.set_idle(false);
}

bool LogWriter::nothing_to_do() const {
  return !stopping_.load(std::memory_order_seq_cst) && !change_wanted_.load(std::memory_order_seq_cst) &&
         std::all_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->readable().empty(); });
}

// Until the bell rings, the descriptor (if not -1) takes bytes, or the time is over (-1: never).
void LogWriter::wait(int writable_fd, Millis timeout) {
  // poll() skips negative descriptors.
  pollfd ready[2] = {{bell_.fd(), POLLIN, 0}, {writable_fd, POLLOUT, 0}};
  poll(ready, 2, static_cast<int>(timeout.count()));
  if (ready[0].revents != 0) bell_.hush();
}

}  // namespace sluice::proxy
