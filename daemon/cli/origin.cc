#include "cli/origin.h"

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "base/log.h"
#include "event/signals.h"
#include "http/serializer.h"

namespace sluice::cli {

namespace {
// What all bodies are made of, line by line.
constexpr std::string_view kLine = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+\n";
static_assert(kLine.size() == 64);
constexpr size_t kPieceBytes = kLine.size() * 4096;

std::string make_pattern() {
  std::string pattern;
  pattern.reserve(kPieceBytes + kLine.size());
  while (pattern.size() < kPieceBytes + kLine.size()) pattern += kLine;
  return pattern;
}
}  // namespace

Origin::Origin(event::Loop& loop, const OriginOptions& options)
    : loop_(loop), body_bytes_(options.body_bytes), pattern_(make_pattern()) {}

Result<std::unique_ptr<Origin>> Origin::start(event::Loop& loop, const OriginOptions& options) {
  std::unique_ptr<Origin> origin(new Origin(loop, options));
  auto listener = event::Listener::open(loop, options.listen, *origin, false);
  if (!listener) return listener.error();
  origin->listener_ = std::move(*listener);
  return origin;
}

Origin::~Origin() {
  while (!open_.empty()) slab_.reclaim(&open_.pop_front());
}

void Origin::on_accept(int fd, const SocketAddress&) {
  auto connection = slab_.make(*this);
  if (!connection->open(fd)) return;
  open_.push_back(*connection.release());
}

void Origin::on_accept_exhausted() { log::warn("out of file descriptors: a connection was refused"); }

void Origin::forget(OriginConnection& connection) {
  connection.unlink();
  loop_.at_turn_end(
      [](void* raw) {
        auto* ended = static_cast<OriginConnection*>(raw);
        ended->origin_.slab_.reclaim(ended);
      },
      &connection);
}

std::string_view Origin::pattern(uint64_t offset, uint64_t bytes) const {
  return std::string_view(pattern_).substr(offset % kLine.size(), std::min<uint64_t>(bytes, kPieceBytes));
}

std::string_view Origin::date() {
  const int64_t second = std::chrono::floor<Seconds>(loop_.wall()).count();
  if (second != second_) {
    second_ = second;
    http::write_http_date(second, date_.data());
    small_answer_.clear();
  }
  return {date_.data(), date_.size()};
}

std::string_view Origin::small_answer(uint64_t bytes) {
  const std::string_view today = date();
  if (small_answer_.empty() || small_answer_bytes_ != bytes) {
    char memory[256];
    http::HeadWriter head(memory);
    head.status_line(200, "OK");
    head.field("Server", "sluice-origin");
    head.field("Date", today);
    head.field("Content-Type", "application/octet-stream");
    head.field("Content-Length", bytes);
    head.end();
    small_answer_.assign(head.view());
    small_answer_.append(pattern(0, bytes));
    small_answer_bytes_ = bytes;
  }
  return small_answer_;
}

int run_origin(const OriginOptions& options) {
  event::Loop loop;
  event::Signals signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  const auto origin = Origin::start(loop, options);
  if (!origin) return 1;  // the listener said why
  std::printf("sluice origin listening on %s\n", (*origin)->address().to_string().c_str());
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace sluice::cli
