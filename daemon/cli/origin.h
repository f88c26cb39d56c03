// `sluice origin`: a small, real and fast HTTP/1.1 server, to try the gateway with, and to measure it against
// something that costs little itself. One thread, one loop. It keeps connections alive, takes pipelined
// requests, and answers
//
//   /bytes/N     N bytes of a fixed pattern             /chunked/N   the same in the chunked coding
//   /status/NNN  that status                            /delay/MS    an echo, MS milliseconds later
//   all else     an echo in JSON: method, target, version, headers, and the length of the body
//
// whatever the method. Request bodies are read to their end first.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/intrusive_list.h"
#include "base/slab.h"
#include "cli/origin_connection.h"
#include "event/listener.h"
#include "event/loop.h"

namespace sluice::cli {

struct OriginOptions {
  SocketAddress listen = *SocketAddress::parse("127.0.0.1:9001");
  size_t body_bytes = 128;  // what /bytes without a number answers
};

/// Runs until SIGTERM or SIGINT; prints one line with the address once it listens. Returns the exit code: 0,
/// or 1 if it cannot listen.
int run_origin(const OriginOptions& options);

/// The server itself. Owned by whoever owns the loop, on its thread; closes its connections when it dies.
class Origin final : private event::Listener::Handler {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Origin>> start(event::Loop& loop, const OriginOptions& options);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  /// The address actually bound.
  [[nodiscard]] const SocketAddress& address() const { return listener_->address(); }
  [[nodiscard]] size_t connections() const { return slab_.live(); }

 private:
  friend class OriginConnection;
  static constexpr size_t kCachedBytes = 64 * 1024;

  Origin(event::Loop& loop, const OriginOptions& options);
  void on_accept(int fd, const SocketAddress& peer) override;
  void on_accept_exhausted() override;

  // What the connections share.
  void forget(OriginConnection& connection);
  /// Of this second, as a head wants it.
  std::string_view date();
  /// Head and body of a plain 200 with `bytes` of the pattern, bytes <= kCachedBytes; made anew only when the
  /// size or the second changes. Valid until the next call.
  std::string_view small_answer(uint64_t bytes);
  /// At most `bytes` bytes of the endless pattern from `offset` on.
  [[nodiscard]] std::string_view pattern(uint64_t offset, uint64_t bytes) const;

  event::Loop& loop_;
  const size_t body_bytes_;
  const std::string pattern_;
  std::string small_answer_;
  uint64_t small_answer_bytes_ = 0;
  int64_t second_ = -1;  // of date_ and small_answer_
  std::array<char, 29> date_{};
  std::array<http::HeaderField, 100> fields_;  // lent to the parser for the length of a call
  Slab<OriginConnection> slab_;
  IntrusiveList<OriginConnection, OriginTag> open_;
  std::unique_ptr<event::Listener> listener_;
};

}  // namespace sluice::cli
