// Transport: what a Stream speaks on its socket instead of plain bytes; TLS (tls/channel.h) is one. Made by whoever opens the
// Stream, handed over by Stream::secure(), owned by the Stream from then on, on its loop's thread. It never waits: `again` says
// that it can go on when the socket is what the step's Need tells.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::event {

enum class IoStatus : uint8_t {
  ok,     // `bytes` > 0 were moved
  again,  // the socket is not ready; wait for the handler's call
  eof,    // read only: the peer sent its FIN
  error,  // reset or another error; the stream is of no more use
};
struct IoResult {
  IoStatus status;
  size_t bytes = 0;
};

class Transport {
 public:
  /// Of the socket: a step of one direction may need the other one, since both sides agree on keys now and then.
  enum class Need : uint8_t { readable, writable };

  /// `first`: what the handshake waits for first: a client's for `writable`, a server's for `readable`.
  explicit Transport(Need first) : handshake_needs_(first) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// The next step of the handshake; ok once it is done.
  virtual IoResult handshake() = 0;
  /// Once that is done. Less than asked for means that the socket has no more.
  virtual IoResult read(std::span<char> into) = 0;
  /// After `again` the next call must offer the same bytes, or more behind them.
  virtual IoResult write(std::span<const iovec> pieces) = 0;
  /// Tells the peer that nothing more comes, as far as the socket takes it at once.
  virtual void end_writing() = 0;
  /// read() may have something though the socket is silent.
  [[nodiscard]] virtual bool has_pending() const = 0;
  /// What went wrong, in words of static storage; empty if nothing did.
  [[nodiscard]] virtual const char* failure() const = 0;
  /// It went wrong since the peer said so, and why: it took nothing of what it was sent after that.
  [[nodiscard]] virtual bool was_refused() const { return false; }
  /// What both sides agreed to speak inside of it (ALPN); empty if that was not talked about.
  [[nodiscard]] virtual std::string_view protocol() const { return {}; }
  /// The handshake took up an earlier session.
  [[nodiscard]] virtual bool resumed() const { return false; }

 protected:
  Need handshake_needs_;
  Need read_needs_ = Need::readable;
  Need write_needs_ = Need::writable;

 private:
  friend class Stream;
  bool established_ = false;
  uint32_t armed_ = 0;  // what the Poller watches for
};

}  // namespace sluice::event
